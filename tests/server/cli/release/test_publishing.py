"""What operators see of their devices."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from diffserver.cli.release.publishing import devices
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server import factories
from tests.server.conftest import Service
from tests.server.test_devices import served


def test_updates_under_way_and_devices_that_fell_silent_are_listed(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    for name in ("kitchen", "attic"):
        held = {"digest": factories.digest("v1"), "previous": factories.digest("v0"), "stage": "download"}
        service.device(name).post("/v1/device/state", json=held)
    with writing(service.engine) as session:
        attic = session.scalars(select(Device).where(Device.name == "attic")).one()
        assert attic.last_seen is not None
        attic.last_seen -= timedelta(hours=2)
    with served(service) as url:
        devices("speech", url, service.operator.headers["Authorization"].removeprefix("Bearer "))
    lines = {line.split("│")[2].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    shown = {name: [cell.strip() for cell in line.split("│")[3:7]] for name, line in lines.items()}
    assert shown == {
        "kitchen": ["1", "0", "stable", "at download"],
        "attic": ["1", "0", "stable", "silent since download"],
    }
