"""What operators see of their devices."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from diffserver.cli.fleet.devices import devices
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server import factories
from tests.server.conftest import Service


def test_updates_under_way_and_devices_that_fell_silent_are_listed(
    service: Service, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    for name in ("kitchen", "attic"):
        held = {"digest": factories.digest("v1"), "previous": factories.digest("v0"), "stage": "download"}
        service.device(name).post("/v1/device/state", json=held)
    with writing(service.engine) as session:
        attic = session.scalars(select(Device).where(Device.name == "attic")).one()
        assert attic.last_seen is not None
        attic.last_seen -= timedelta(hours=2)
    devices("speech", server=url, token=service.operator.headers["Authorization"].removeprefix("Bearer "))
    shown = rows_of(capsys.readouterr().out)
    assert {name: cells[1:5] for name, cells in shown.items()} == {
        "kitchen": ["1", "0", "stable", "at download"],
        "attic": ["1", "0", "stable", "silent since download"],
    }


def test_what_is_at_fault_is_listed(service: Service, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    service.publish_chain(0)
    report = {"stage": "postponed", "failed_stage": "download", "reason": "it broke off", "cause": "network"}
    service.device().post("/v1/device/reports", json=report)
    devices("speech", server=url, token=service.operator.headers["Authorization"].removeprefix("Bearer "))
    cells = rows_of(capsys.readouterr().out)["kitchen"]
    assert (cells[5], cells[7], cells[8]) == ("postponed", "network", "it broke off")


def rows_of(table: str) -> dict[str, list[str]]:
    """The cells of each row of a printed table from the device's name on, by that name."""
    rows = ([cell.strip() for cell in line.split("│")[2:]] for line in table.splitlines() if "│" in line)
    return {row[0]: row for row in rows}
