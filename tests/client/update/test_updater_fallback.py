"""A device that fails each time does not fetch the whole model each time, and its operator sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diffclient.errors import DigestMismatch, UpdateFailed
from diffclient.store import deliveries
from diffclient.store.deliveries import Delivery
from diffclient.store.policy import Policy
from diffclient.store.state import Failure, State
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import Lineage


@pytest.fixture
def damaged(device: Device, lineage: Lineage) -> Device:
    """A device whose diff to version 1 is damaged at its server, and which went round it once."""
    device.update()
    device.server.goes_round, device.server.target = True, 1
    device.server.fault(lineage.diffs[0].payload.sha256, scripted_server.alter)
    assert device.update().detour is not None
    return device


def rot(device: Device, digest: str) -> None:
    """Damage a version on the disk."""
    device.store.weights(digest).write_bytes(b"rust")


def snapshots(device: Device, lineage: Lineage) -> int:
    """How often version 1 was fetched whole."""
    return device.server.blobs_asked().count(lineage.snapshots[1].payload.sha256)


def later(device: Device, days: float) -> None:
    """Let time pass, as the state has it."""
    state = device.store.state()
    aged = tuple(replace(known, at=known.at - int(days * deliveries.DAY)) for known in state.deliveries)
    with device.store.locked():
        device.store.save(replace(state, deliveries=aged))


def test_a_fallback_is_counted_and_reported(damaged: Device, lineage: Lineage) -> None:
    (known,) = damaged.store.state().deliveries
    assert (known.digest, known.times) == (lineage.digest(1), 1)
    assert damaged.server.reports[-1]["full_deliveries"] == 1


def test_the_first_version_is_no_fallback(device: Device) -> None:
    device.update()
    assert device.store.state().deliveries == ()
    assert device.server.reports[-1]["full_deliveries"] is None


def test_a_version_that_rots_again_and_again_is_fetched_once_a_day(damaged: Device, lineage: Lineage) -> None:
    for day in range(3):
        rot(damaged, lineage.digest(1))
        for _ in range(3):
            with pytest.raises(UpdateFailed) as failed:
                damaged.update()
            assert type(failed.value.cause) is DigestMismatch
        assert damaged.server.reports[-1]["full_deliveries"] == day + 1
        later(damaged, 2.0**day)
        assert damaged.update().action == "installed"
    assert snapshots(damaged, lineage) == 4


def test_force_and_the_owners_policy_overrule(damaged: Device, lineage: Lineage) -> None:
    rot(damaged, lineage.digest(1))
    assert damaged.update(force=True).action == "installed"
    rot(damaged, lineage.digest(1))
    damaged.store.allow(Policy(max_deliveries=0))
    assert damaged.update().action == "installed"
    assert snapshots(damaged, lineage) == 3


def test_a_version_that_was_delivered_for_nothing_waits(damaged: Device, lineage: Lineage) -> None:
    """As after a device lost its slots, having failed with this version before."""
    failure = Failure("apply", "the disk", lineage.digest(1), "2026-01-01T00:00:00+00:00", "device")
    known = Delivery(lineage.digest(1), 5, 0)
    with damaged.store.locked():
        damaged.store.save(State(failure=failure, deliveries=(known,)))
    before = snapshots(damaged, lineage)
    for _ in range(3):
        assert damaged.update().action == "delivered"
    assert snapshots(damaged, lineage) == before
    assert damaged.store.state().failure == failure
    assert damaged.update(force=True).action == "installed"
