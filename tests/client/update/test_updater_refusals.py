"""What an updater declines although it is signed: too dear, backwards, or known not to work here."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import pytest

from diffclient.errors import (
    Backwards,
    BrokenChain,
    DiffClientError,
    MetadataExpired,
    ProbationFailed,
    SnapshotWithheld,
    StoreFailed,
    TooManyBytes,
    UpdateFailed,
)
from diffclient.release.manifest import Manifest
from diffclient.release.target_names import diff_name, snapshot_name
from diffclient.store.policy import Policy
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import MODEL, Lineage
from tests.client.scripted_server import ScriptedServer


def failing(device: Device, stage: str, cause: type[DiffClientError], **options: Any) -> None:
    with pytest.raises(UpdateFailed) as failed:
        device.update(**options)
    assert (failed.value.stage, type(failed.value.cause)) == (stage, cause), failed.value


def assign(device: Device, target: int, *steps: str) -> None:
    """Have the server send devices to a version by these steps."""
    device.server.target = target
    device.server.rewrite = lambda answer: answer | {"action": "update", "steps": list(steps), "notice": None}


# Costs


@pytest.mark.parametrize(("policy", "metered"), [(Policy("never"), False), (Policy("unmetered"), True)])
def test_a_server_that_is_told_sends_no_snapshot(
    device: Device, lineage: Lineage, policy: Policy, metered: bool
) -> None:
    device.store.allow(policy)
    device.metered = metered
    outcome = device.update()
    assert (outcome.action, outcome.version) == ("withheld", 0)
    assert device.server.blobs_asked() == []
    assert [request.body["full_fallback"] for request in device.server.seen if request.path.endswith("/poll")] == [
        False
    ]
    device.store.allow(Policy("always"))
    assert device.update().action == "installed"


def test_a_server_that_sends_one_all_the_same_is_refused(device: Device, lineage: Lineage) -> None:
    device.update()
    device.metered = True
    device.server.seen.clear()
    assign(device, 2, snapshot_name(MODEL, 2))
    failing(device, "policy", SnapshotWithheld)
    assert device.server.blobs_asked() == []
    assert device.digest() == lineage.digest(0)
    assert device.server.reports[-1]["failed_stage"] == "policy"
    device.metered = False
    assert device.update().action == "installed"


def test_diffs_may_come_over_any_link(device: Device, lineage: Lineage) -> None:
    device.update()
    device.metered = True
    device.server.target = 3
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(3)


def test_what_arrived_of_a_snapshot_outlives_a_metered_link(device: Device, lineage: Lineage) -> None:
    whole = lineage.snapshots[0].payload
    device.server.fault(whole.sha256, scripted_server.vanish(0.6))
    with pytest.raises(UpdateFailed):
        device.update()
    part = device.store.downloads / f"{whole.sha256}.part"
    kept = part.stat().st_size
    device.server.heal()
    device.metered = True
    assert device.update().action == "withheld"
    assert part.stat().st_size == kept
    device.metered = False
    assert device.update().payload_bytes == whole.length - kept


def test_the_cap_counts_what_is_still_to_come(device: Device, lineage: Lineage) -> None:
    device.update()
    payload = lineage.diffs[0].payload
    device.server.target = 1
    device.store.allow(Policy(max_bytes=payload.length - 1))
    device.server.seen.clear()
    failing(device, "policy", TooManyBytes)
    assert device.server.blobs_asked() == []
    device.store.allow(Policy(max_bytes=payload.length))
    assert device.update().payload_bytes == payload.length


def test_a_version_that_is_kept_costs_nothing(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.store.allow(Policy("never", max_bytes=0))
    device.metered = True
    device.server.repository.permit(0, lineage.digest(0), below=1)
    assign(device, 0, snapshot_name(MODEL, 0))
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(0)


# Backwards


@pytest.fixture
def third(device: Device) -> Device:
    """A device that runs version 3 and keeps version 2."""
    for device.server.target in (2, 3):
        device.update()
    device.server.seen.clear()
    return device


def test_an_answer_that_leads_backwards_is_refused(third: Device, lineage: Lineage) -> None:
    for target, steps in ((0, [snapshot_name(MODEL, 0)]), (1, [snapshot_name(MODEL, 0), diff_name(MODEL, 1, 0)])):
        assign(third, target, *steps)
        failing(third, "chain", Backwards)
        failing(third, "chain", Backwards, force=True)
    assert third.server.blobs_asked() == []
    assert third.digest() == lineage.digest(3)


def test_the_slot_that_is_kept_is_returned_to_where_that_is_signed(third: Device, lineage: Lineage) -> None:
    third.server.target = 2
    failing(third, "chain", Backwards)
    third.server.repository.permit(2, lineage.digest(2), below=3)
    assert third.update().action == "installed"
    assert third.digest() == lineage.digest(2)
    assert third.server.blobs_asked() == []


def test_the_slot_that_is_kept_goes_by_its_own_number(third: Device, lineage: Lineage) -> None:
    third.server.target = 2
    third.server.rewrite = lambda answer: (
        answer | {"action": "update", "steps": [snapshot_name(MODEL, 2)], "version": 9}
    )
    failing(third, "chain", BrokenChain)


def test_a_slot_that_is_damaged_is_no_way_back(third: Device, lineage: Lineage) -> None:
    third.store.weights(lineage.digest(2)).write_bytes(b"rust")
    third.server.target = 2
    failing(third, "chain", Backwards)
    third.server.repository.permit(2, lineage.digest(2), below=3)
    assert third.update().action == "installed"
    assert third.digest() == lineage.digest(2)


def test_a_signed_downgrade_leads_back_once_it_covers_this_version(third: Device, lineage: Lineage) -> None:
    third.server.target = 0
    third.server.repository.permit(0, lineage.digest(0), below=2)
    failing(third, "chain", Backwards)
    third.server.repository.permit(0, lineage.digest(0), below=3)
    assert third.update().action == "installed"
    assert third.digest() == lineage.digest(0)
    third.server.target = 3
    assert third.update().action == "installed"


def test_a_rolled_back_device_is_not_led_further_back(third: Device, lineage: Lineage) -> None:
    third.updater().rollback()
    assert third.digest() == lineage.digest(2)
    third.server.target = 1
    failing(third, "chain", Backwards)


# Nothing new


def test_nothing_new_has_to_be_fresh_too(device: Device) -> None:
    """A network that freezes the device's world is noticed, though it is offered nothing."""
    device.update()
    device.server.repository.expire("timestamp")
    failing(device, "trust", MetadataExpired)


def test_metadata_is_counted(device: Device, lineage: Lineage) -> None:
    files = device.server.repository.files
    first = device.update().metadata_bytes
    roles = {name.partition(".")[2] if name[0].isdigit() else name: len(data) for name, data in files.items()}
    assert first == sum(roles[name] for name in ("timestamp.json", "snapshot.json", "targets.json", f"{MODEL}.json"))
    assert device.update().metadata_bytes == roles["timestamp.json"]


# Versions that failed probation


def unsound(server: ScriptedServer, number: int) -> Manifest:
    """Have a version expect errors that no device measures."""
    line = server.lineage
    probes = tuple(replace(probe, errors=probe.errors + 5) for probe in line.diffs[number - 1].probes)
    forged = replace(line.diffs[number - 1], probes=probes)
    server.repository.cover([forged], {number: line.snapshots[number].payload})
    return forged


def test_what_failed_probation_is_not_tried_again(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    unsound(device.server, 1)
    failing(device, "probation", ProbationFailed)
    [told] = [report for report in device.server.reports if report["stage"] == "failed"]
    assert told["failed_stage"] == "probation"
    assert "this device measures another error rate" in told["reason"]
    device.server.seen.clear()
    for _ in range(2):
        outcome = device.update()
        assert (outcome.action, outcome.version) == ("unfit", 1)
    assert device.server.blobs_asked() == []
    assert len(device.server.reports) == 2  # it is told once
    state = device.store.state()
    assert [found.digest for found in state.unfit] == [lineage.digest(1)]
    assert state.failure is not None
    assert state.failure.stage == "probation"


def test_it_is_tried_again_when_forced(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    unsound(device.server, 1)
    for _ in range(2):
        failing(device, "probation", ProbationFailed, force=True)
    assert len(device.store.state().unfit) == 1


def test_it_is_tried_again_when_its_facts_changed(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    unsound(device.server, 1)
    failing(device, "probation", ProbationFailed)
    device.server.sign()  # the operator mends the figures
    assert device.update().action == "installed"
    assert device.store.state().unfit == ()


def test_it_is_tried_again_when_what_measures_changed(
    device: Device, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.update()
    device.server.target = 1
    unsound(device.server, 1)
    failing(device, "probation", ProbationFailed)
    assert device.update().action == "unfit"
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} of tomorrow")
    failing(device, "probation", ProbationFailed)


def test_a_later_version_is_tried(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    unsound(device.server, 1)
    failing(device, "probation", ProbationFailed)
    device.server.target = 2
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(2)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_a_disk_or_a_memory_that_fails_is_no_verdict(device: Device, lineage: Lineage, error: Exception) -> None:
    device.update()
    device.server.target = 1
    honest = device.score

    def fail(*_: object) -> list[Any]:
        raise error

    device.score = fail
    failing(device, "probation", StoreFailed if isinstance(error, OSError) else ProbationFailed)
    device.score = honest
    assert device.store.state().unfit == ()
    assert device.update().action == "installed"


def test_drift_beyond_the_bound_fails_probation_and_is_remembered(device: Device, lineage: Lineage) -> None:
    """The bound is on what adds up since version 0, however small each step was."""
    zero, two, three = (lineage.snapshots[number].probes[0] for number in (0, 2, 3))
    bound = (three.errors - zero.errors) * 1_000_000 // three.total - 1
    assert (three.errors - two.errors) * 1_000_000 // three.total <= bound  # the last step alone stays inside
    for device.server.target in (0, 1, 2):
        device.update()
    tight = replace(lineage.diffs[2], max_drift_ppm=bound)
    device.server.repository.cover([tight], {3: lineage.snapshots[3].payload})
    device.server.target = 3
    failing(device, "probation", ProbationFailed)
    assert device.update().action == "unfit"
    assert device.digest() == lineage.digest(2)
