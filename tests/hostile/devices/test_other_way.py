"""A damaged diff: the device goes round it where its policy allows, and says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from diffclient.errors import DigestMismatch, SnapshotWithheld, TooManyBytes, UpdateFailed
from diffclient.release.manifest import Blob
from diffclient.store.policy import Policy
from tests.client import scripted_server
from tests.client.cli.test_main import SCORE, Cli
from tests.client.conftest import Device
from tests.client.lineage import MODEL, Lineage
from tests.client.scripted_server import ScriptedServer

LAST, WHOLE = f"{MODEL}/v0/2.from.1", f"{MODEL}/v0/2.snapshot"


@pytest.fixture
def behind(device: Device) -> Device:
    """A device at version 0 that is to come to version 2 by two diffs."""
    device.update()
    device.server.goes_round = True
    device.server.target = 2
    device.server.seen.clear()
    return device


def left_out(server: ScriptedServer) -> list[list[str]]:
    """What each poll asked to leave out."""
    return [request.body.get("without", []) for request in server.seen if request.path == "/v1/device/poll"]


def signed_wrongly(device: Device) -> None:
    """The last diff is other bytes, and they are what is signed: no payload at all."""
    data = b"no payload" * 10
    blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
    device.server.fault(blob.sha256, scripted_server.say(data))
    target = device.server.repository.named[LAST]
    target.length, target.hashes = blob.length, {"sha256": blob.sha256}
    device.server.repository.publish()


def served(fault: scripted_server.Fault) -> Callable[[Device], None]:
    """The last diff is damaged where it is served."""
    return lambda device: device.server.fault(device.server.lineage.diffs[1].payload.sha256, fault)


@pytest.mark.parametrize(
    ("damage", "stage", "suspects"),
    [
        (served(scripted_server.alter), "download", [LAST]),
        (served(scripted_server.cut), "download", [LAST]),
        (served(scripted_server.lengthen), "download", [LAST]),
        (served(scripted_server.refuse(404)), "download", [LAST]),
        (signed_wrongly, "decode", [f"{MODEL}/v0/1.from.0", LAST]),
    ],
    ids="altered cut lengthened gone signed-wrongly".split(),
)
def test_a_snapshot_stands_in_for_a_damaged_diff(
    behind: Device, lineage: Lineage, damage: Callable[[Device], None], stage: str, suspects: list[str]
) -> None:
    damage(behind)
    outcome = behind.update()
    assert (outcome.action, behind.digest()) == ("installed", lineage.digest(2))
    assert left_out(behind.server) == [[], suspects]
    assert str(outcome.detour).startswith(f"{stage}: ")
    report = behind.server.reports[-1]
    assert (report["stage"], report["failed_stage"]) == ("installed", stage)
    assert report["reason"] in str(outcome.detour)
    assert behind.update().action == "none"


def test_a_damaged_version_in_use_is_gone_round_too(behind: Device, lineage: Lineage) -> None:
    """Its weights rotted on the disk, which is noticed before a diff on them is asked for."""
    weights = behind.store.weights(lineage.digest(0))
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    outcome = behind.update()
    assert (outcome.action, behind.digest(), outcome.detour) == ("installed", lineage.digest(2), None)


@pytest.mark.parametrize(
    ("policy", "metered", "cause", "stage"),
    [
        (Policy("never"), False, DigestMismatch, "download"),
        (Policy("unmetered"), True, DigestMismatch, "download"),
        (Policy("always", max_bytes=10_000), False, TooManyBytes, "policy"),
    ],
    ids="never metered too-many-bytes".split(),
)
def test_the_policy_is_kept(
    behind: Device, lineage: Lineage, policy: Policy, metered: bool, cause: type[Exception], stage: str
) -> None:
    behind.store.allow(policy)
    behind.metered = metered
    served(scripted_server.alter)(behind)
    with pytest.raises(UpdateFailed) as failed:
        behind.update()
    assert (failed.value.stage, type(failed.value.cause)) == (stage, cause)
    failure = behind.store.state().failure
    assert failure is not None
    assert "arrived altered" in failure.reason  # whatever forbade the other way
    assert behind.server.reports[-1]["reason"] == failure.reason
    assert behind.digest() == lineage.digest(0)


def test_a_server_that_sends_a_snapshot_where_none_is_welcome_is_not_followed(behind: Device) -> None:
    behind.store.allow(Policy("never"))
    served(scripted_server.alter)(behind)
    snapshot = {"action": "update", "steps": [WHOLE], "notice": None}
    behind.server.rewrite = lambda answer: answer | (snapshot if not answer["steps"] else {})
    with pytest.raises(UpdateFailed) as failed:
        behind.update()
    assert type(failed.value.cause) is SnapshotWithheld


def test_a_server_that_knows_no_other_way_leaves_the_first_failure(behind: Device, lineage: Lineage) -> None:
    for behind.server.goes_round in (False, True):
        behind.server.heal()
        served(scripted_server.alter)(behind)
        served_snapshot = lineage.snapshots[2].payload.sha256
        behind.server.fault(served_snapshot, scripted_server.refuse(404))
        with pytest.raises(UpdateFailed) as failed:
            behind.update()
        assert failed.value.stage == "download"
    behind.server.heal()
    assert behind.update().action == "installed"


def test_what_arrived_of_the_snapshot_is_kept_for_the_next_poll(behind: Device, lineage: Lineage) -> None:
    served(scripted_server.alter)(behind)
    whole = lineage.snapshots[2].payload.sha256
    behind.server.fault(whole, scripted_server.vanish(0.4))
    with pytest.raises(UpdateFailed, match="tried since another way failed at stage download"):
        behind.update()
    behind.server._faults.pop()
    behind.server.seen.clear()
    assert behind.update().action == "installed"
    asked = [request for request in behind.server.seen if request.path.endswith(whole)]
    assert [request.headers.get("range", "")[:6] for request in asked] == ["bytes="]


def test_one_bad_mirror_is_no_reason_for_a_snapshot(behind: Device, lineage: Lineage) -> None:
    good = ScriptedServer(lineage)
    behind.store.allow(Policy(mirrors=(good.url,)))
    served(scripted_server.alter)(behind)
    outcome = behind.update()
    assert (outcome.action, outcome.detour, left_out(behind.server)) == ("installed", None, [[]])
    good.close()


def test_a_mirror_that_cannot_be_reached_has_one_updates_respite(behind: Device, lineage: Lineage) -> None:
    """It may hold the right bytes; but a mirror that is gone for good must not block a device for good."""
    behind.store.allow(Policy(mirrors=("http://127.0.0.1:1",)))
    served(scripted_server.alter)(behind)
    with pytest.raises(UpdateFailed, match="cannot reach"):
        behind.update()
    assert left_out(behind.server) == [[]]
    assert behind.update().detour is not None
    assert behind.digest() == lineage.digest(2)


def test_what_every_way_needs_is_not_gone_round(behind: Device, lineage: Lineage) -> None:
    graph = lineage.add(b"another graph")
    behind.server.repository.cover([*lineage.diffs, replace(lineage.snapshots[2], graph=graph)], {})
    behind.server.fault(graph.sha256, scripted_server.alter)
    with pytest.raises(UpdateFailed):
        behind.update()
    assert left_out(behind.server) == [[]]


@pytest.mark.parametrize("options", [[], ["--force", "--full-fallback", "always"]])
def test_people_are_told(
    enrolled: Cli, server: ScriptedServer, lineage: Lineage, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    enrolled("update", *SCORE)
    server.goes_round, server.target = True, 1
    server.fault(lineage.diffs[0].payload.sha256, scripted_server.alter)
    code, told, _ = enrolled("update", *SCORE, *options)
    assert (code, told["action"], told["digest"]) == (0, "installed", lineage.digest(1))
    assert told["detour"].startswith("download: ")
    shown: Any = json.dumps(server.reports[-1])
    assert "arrived altered" in shown
