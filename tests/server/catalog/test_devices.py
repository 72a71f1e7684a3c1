from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from diffclient.network.holding import Holding
from diffserver.catalog import devices, tokens
from diffserver.errors import NotFound
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Device, Report
from tests.server import factories
from tests.server.conftest import publish_chain


def enroll(engine: Engine, name: str = "kitchen") -> Device:
    with writing(engine) as session:
        return devices.enroll(session, "speech", name, "stable")[0]


def seen(engine: Engine, device: Device) -> Device:
    with reading(engine) as session:
        return session.get_one(Device, device.id)


def remember(engine: Engine, device: Device, label: str, client: str = "one", stage: str | None = None) -> None:
    assert devices.remember(engine, device, Holding(factories.digest(label), stage=stage), client)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the database, transactions' ends left out."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement.split()[0])

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_a_device_gets_a_token_of_its_own(engine: Engine) -> None:
    publish_chain(engine, 0)
    with writing(engine) as session:
        device, secret = devices.enroll(session, "speech", "kitchen", "stable")
        token = tokens.identify(session, secret)
    assert token is not None
    assert (token.role, token.device_id) == ("device", device.id)


@pytest.mark.parametrize(
    ("model", "channel", "reason"),
    [("talk", "stable", "no model 'talk'"), ("speech", "canary", "no channel 'canary'; choose one of: stable")],
)
def test_enrolling_for_what_is_not_there(engine: Engine, model: str, channel: str, reason: str) -> None:
    publish_chain(engine, 0)
    with pytest.raises(NotFound, match=reason), writing(engine) as session:
        devices.enroll(session, model, "kitchen", channel)


@pytest.mark.parametrize("what", ["a minute passed", "another digest", "another client", "a stage"])
def test_what_is_new_is_written_down(engine: Engine, what: str) -> None:
    publish_chain(engine, 1)
    device = enroll(engine)
    remember(engine, device, "v0")
    device = seen(engine, device)
    assert device.last_seen is not None
    if what == "a minute passed":
        device.last_seen -= devices.SEEN_FRESH + timedelta(seconds=1)
    before = device.last_seen
    label, client = "v1" if what == "another digest" else "v0", "two" if what == "another client" else "one"
    remember(engine, device, label, client, "download" if what == "a stage" else None)
    after = seen(engine, device)
    assert after.last_seen is not None
    assert after.last_seen > before
    assert after.digest == factories.digest(label)


def recorded_report(session: Session, device: Device, new: Report) -> Report:
    new.device_id = device.id
    (row,) = devices.record_reports(session, [new])
    return row


def report(stage: str = "installed", report_id: str | None = None) -> Report:
    return Report(stage=stage, to_digest=factories.digest("v1"), downloaded_bytes=5, report_id=report_id)


@pytest.mark.parametrize("stage", ["installed", "rolled_back", "failed", "postponed"])
def test_a_report_ends_an_update_and_says_nothing_of_what_runs(engine: Engine, stage: str) -> None:
    publish_chain(engine, 1)
    device = enroll(engine)
    remember(engine, device, "v0", stage="download")
    with writing(engine) as session:
        recorded_report(session, device, report(stage))
    after = seen(engine, device)
    assert (after.digest, after.stage) == (factories.digest("v0"), None)


def test_errors_in_the_field_end_no_update_and_are_not_shown_as_its_report(engine: Engine) -> None:
    publish_chain(engine, 1)
    device = enroll(engine)
    with writing(engine) as session:
        recorded_report(session, device, report("failed"))
    remember(engine, device, "v0", stage="download")
    with writing(engine) as session:
        recorded_report(session, device, report("field"))
    with reading(engine) as session:
        (standing,) = devices.standings(session, "speech", "", 1, timedelta(hours=1))
    assert standing.device.stage == "download"
    assert standing.last_report is not None
    assert standing.last_report.stage == "failed"


def test_a_report_that_comes_again_is_the_first(engine: Engine) -> None:
    publish_chain(engine, 1)
    pair = [enroll(engine, name) for name in ("kitchen", "attic")]

    def recorded(device: Device, report_id: str | None) -> int:
        with writing(engine) as session:
            return recorded_report(session, device, report(report_id=report_id)).id

    def again(_number: int) -> int:
        return recorded(pair[0], "a" * 32)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(again, range(12)))) == 1
    others = [
        recorded(pair[1], "a" * 32),
        recorded(pair[0], "b" * 32),
        recorded(pair[0], None),
        recorded(pair[0], None),
    ]
    assert len({*others, again(0)}) == 5, "another device's, another one, and those of earlier clients"


def test_a_device_that_says_nothing_in_the_middle_of_an_update_is_silent(engine: Engine) -> None:
    publish_chain(engine, 1)
    device = enroll(engine)
    remember(engine, device, "v0", stage="download")
    device = seen(engine, device)
    assert device.last_seen is not None
    hour = timedelta(hours=1)
    later = device.last_seen + hour
    assert [devices.is_silent(device, moment, hour) for moment in (later, later + hour)] == [False, True]
    device.stage = None
    assert not devices.is_silent(device, later + hour, hour)


def test_standings_know_the_version_that_is_kept(engine: Engine) -> None:
    publish_chain(engine, 1)
    device = enroll(engine)
    holding = Holding(factories.digest("v1"), factories.digest("v0"), "download")
    devices.remember(engine, device, holding, "one")
    with reading(engine) as session:
        (standing,) = devices.standings(session, "speech", "", 1, timedelta(0))
    assert (standing.number, standing.kept, standing.silent) == (1, 0, True)


def test_standings_show_each_device_with_its_version_and_last_report(engine: Engine) -> None:
    publish_chain(engine, 1)
    three = [enroll(engine, name) for name in ("kitchen", "bedroom", "attic")]
    remember(engine, three[1], "v1")
    for stage in ("failed", "installed"):
        with writing(engine) as session:
            recorded_report(session, three[1], report(stage))
    with reading(engine) as session:
        rows = devices.standings(session, "speech", "", 10, timedelta(hours=1))
        rest = devices.standings(session, "speech", rows[0].device.id, 1, timedelta(hours=1))
    assert {row.device.name for row in rows} == {"kitchen", "bedroom", "attic"}
    assert [row.device.id for row in rest] == [rows[1].device.id]
    bedroom = next(row for row in rows if row.device.name == "bedroom")
    assert bedroom.last_report is not None
    assert (bedroom.number, bedroom.last_report.stage) == (1, "installed")
    assert all(row.number is None and row.last_report is None for row in rows if row is not bedroom)
