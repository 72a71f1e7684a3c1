from datetime import UTC, datetime, timedelta

import pytest

from diffserver.catalog.quotas import require_reports, wait_seconds
from diffserver.errors import TooMany
from diffserver.settings import Quotas
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Device, Report
from tests.server.conftest import Service

HOUR = timedelta(hours=1)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("nth_latest", "wait"),
    [
        (None, 0),
        (NOW - 2 * HOUR, 0),
        (NOW - HOUR, 0),
        (NOW - HOUR + timedelta(milliseconds=1), 1),
        (NOW, 3600),
        (NOW + HOUR, 7200),
    ],
)
def test_a_device_waits_until_the_window_has_moved_on(nth_latest: datetime | None, wait: int) -> None:
    assert wait_seconds(nth_latest, HOUR, NOW) == wait


@pytest.mark.parametrize(
    ("ages", "refused"),
    [
        ([0, 0], None),
        ([0, 0, 0], "3 reports in an hour"),
        ([2, 2, 2], None),
        ([2, 2, 2, 2, 2], "5 reports in a day"),
        ([30, 30, 30, 30, 30], None),
    ],
)
def test_hours_and_days_are_counted_by_device(service: Service, ages: list[int], refused: str | None) -> None:
    service.publish_chain(0)
    ids = ("a" * 24, "b" * 24)
    with writing(service.engine) as session:
        session.add_all(Device(id=name, model="speech", name="d", channel="stable") for name in ids)
        session.flush()
        session.add_all(
            Report(device_id=ids[0], stage="failed", downloaded_bytes=0, created_at=utc_now() - age * HOUR)
            for age in ages
        )
    quotas = Quotas(reports_per_hour=3, reports_per_day=5)
    with reading(service.engine) as session:
        require_reports(session, ids[1], quotas)
        if refused is None:
            require_reports(session, ids[0], quotas)
        else:
            with pytest.raises(TooMany, match=refused):
                require_reports(session, ids[0], quotas)
