"""Clocks that are wrong, here or at the server, for a while: nothing is blocked, or frozen, for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from diffclient.errors import DiffClientError, MetadataExpired, UpdateFailed, ValidTooLong
from tests.client.conftest import Device
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer
from tests.client.trust.test_verified_metadata import At, clock

__all__ = ["clock"]

DAY = timedelta(days=1)


def signed_at(server: ScriptedServer, ahead: timedelta) -> None:
    """The server signs a timestamp for a day, by a clock that is so far ahead."""
    server.repository.mend()
    server.repository.metadata["timestamp"].signed.expires += ahead
    server.repository.write("timestamp")


def fails(device: Device, cause: type[DiffClientError]) -> str:
    """An update fails so; what was recorded of it."""
    with pytest.raises(UpdateFailed) as failed:
        device.update()
    assert (failed.value.stage, type(failed.value.cause)) == ("trust", cause)
    failure = device.store.state().failure
    assert failure is not None
    return failure.reason


@pytest.mark.parametrize("days", [2, 7])
def test_both_days_ahead_for_one_poll(device: Device, lineage: Lineage, clock: type[At], days: int) -> None:
    clock.shift = days * DAY
    signed_at(device.server, clock.shift)
    device.update()
    clock.shift = timedelta()
    device.server.target = 1
    signed_at(device.server, timedelta())
    assert device.update().digest == lineage.digest(1)


@pytest.mark.parametrize("days", [8, 300, 3000])
def test_both_far_ahead_for_one_poll(device: Device, lineage: Lineage, clock: type[At], days: int) -> None:
    clock.shift = days * DAY
    signed_at(device.server, clock.shift)
    for role in ("snapshot", "targets", "root", device.server.repository.model):
        device.server.repository.metadata[role].signed.expires += clock.shift
    device.server.repository.write("root")
    device.server.repository.write("targets")
    device.server.repository.publish()
    assert device.update().action == "installed"
    clock.shift = timedelta()
    device.server.target = 1
    assert "the server's clock is ahead, or was when it signed" in fails(device, ValidTooLong)
    signed_at(device.server, timedelta())
    assert device.update().digest == lineage.digest(1)


def test_both_a_little_ahead_for_one_poll(device: Device, lineage: Lineage, clock: type[At]) -> None:
    """A timestamp lives for longer than that: nothing expires, whatever was recorded."""
    clock.shift = 0.9 * DAY
    signed_at(device.server, clock.shift)
    device.update()
    clock.shift = timedelta()
    signed_at(device.server, timedelta())
    assert device.update().action == "none"


def test_the_server_alone_far_ahead(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    signed_at(device.server, 300 * DAY)
    assert "the server's clock is ahead" in fails(device, ValidTooLong)
    signed_at(device.server, timedelta())
    assert device.update().digest == lineage.digest(1)


def test_the_device_alone_far_ahead_and_behind(device: Device, lineage: Lineage, clock: type[At]) -> None:
    device.update()
    device.server.target = 1
    clock.shift = 300 * DAY
    assert "check the clock" in fails(device, MetadataExpired)
    clock.shift = -100 * DAY
    assert "this device's is behind" in fails(device, ValidTooLong)
    clock.shift = timedelta()
    assert device.update().digest == lineage.digest(1)


def test_a_clock_that_was_never_set(device: Device, lineage: Lineage, clock: type[At]) -> None:
    clock.shift = datetime(1970, 1, 1, tzinfo=UTC) - datetime.now(UTC)
    assert device.update().digest == lineage.digest(0)
    device.server.target = 1
    assert device.update().digest == lineage.digest(1)


@pytest.mark.parametrize("new", [False, True], ids=["the device that saw newer ones", "a new device"])
def test_a_timestamp_that_was_signed_far_ahead_freezes_nobody(
    device: Device, server: ScriptedServer, lineage: Lineage, clock: type[At], new: bool
) -> None:
    """Who kept it plays it back for as long as it would hold."""
    signed_at(server, 300 * DAY)
    kept = server.repository.files["timestamp.json"]
    signed_at(server, timedelta())
    if not new:
        device.update()
    server.repository.files["timestamp.json"] = kept
    for clock.shift in (timedelta(), 100 * DAY, 290 * DAY):
        with pytest.raises(UpdateFailed):
            device.update()


@pytest.mark.parametrize("hours", [1, 12, 23])
def test_what_expired_does_not_come_back_with_a_clock_that_is_set_back(
    device: Device, clock: type[At], lineage: Lineage, hours: int
) -> None:
    clock.shift = timedelta(hours=hours)
    signed_at(device.server, clock.shift)
    device.update()
    clock.shift = timedelta()
    signed_at(device.server, timedelta(hours=hours - 25))
    reason = fails(device, MetadataExpired)
    assert "by the time at which this device last accepted metadata" in reason
    assert "updates go on by themselves, 24 hours from now at the latest" in reason
