"""What the server hears of a device while an update goes on: what runs, what is kept, and how far it is."""

from __future__ import annotations

from typing import Any

import pytest

from diffclient.errors import UpdateFailed
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer


def holdings(bodies: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(body["digest"], body["previous"], body["stage"]) for body in bodies]


def polls(server: ScriptedServer) -> list[dict[str, Any]]:
    return [request.body for request in server.seen if request.path == "/v1/device/poll"]


def test_an_update_is_told_when_it_begins_to_fetch_and_when_it_is_done(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.told.clear()
    device.server.target = 1
    device.update()
    old, new = lineage.digest(0), lineage.digest(1)
    assert holdings(device.server.told) == [(old, None, "download"), (new, old, None)]
    device.update()
    assert holdings(polls(device.server)) == [(None, None, None), (old, None, None), (new, old, None)]


def test_a_return_is_told(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.updater().rollback()
    assert holdings(device.server.told)[-1] == (lineage.digest(0), None, None)


def test_another_try_is_told_as_well(device: Device, lineage: Lineage) -> None:
    device.server.fault("/v1/blobs/", scripted_server.vanish(0.5))
    for _ in range(2):
        with pytest.raises(UpdateFailed):
            device.update()
    assert holdings(device.server.told) == [(None, None, "download")] * 2
    ended = [(report["stage"], report["failed_stage"], report["cause"]) for report in device.server.reports]
    assert ended == [("postponed", "download", "network")] * 2


@pytest.mark.parametrize("fault", [scripted_server.refuse(404), scripted_server.refuse(503, "0")], ids=["old", "busy"])
def test_no_update_depends_on_being_heard(device: Device, lineage: Lineage, fault: scripted_server.Fault) -> None:
    device.server.fault("/device/state", fault)
    assert device.update().action == "installed"
    device.update()
    assert [report["stage"] for report in device.server.reports] == ["installed"]


def test_a_report_that_is_sent_again_is_the_same(device: Device) -> None:
    device.server.fault("/device/reports", scripted_server.vanish(0.5))
    device.update()
    device.server.heal()
    device.update()
    first, again = device.server.reports
    assert first == again
    assert len(first["report_id"]) == 32


def test_a_server_that_is_away_has_failed_no_update(device: Device) -> None:
    device.server.fault("/device/poll", scripted_server.vanish(0.5))
    for _ in range(2):
        with pytest.raises(UpdateFailed):
            device.update()
    failure = device.store.state().failure
    assert failure is not None
    assert (failure.stage, failure.cause) == ("poll", "network")
    device.server.heal()
    device.update()
    assert [report["stage"] for report in device.server.reports] == ["installed"]
