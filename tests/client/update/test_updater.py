"""The updater and a server that means well: install, chain, go back, hold back, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diffclient.errors import DigestMismatch, NothingKept, UpdateFailed
from diffclient.measure.error_count import Errors
from diffclient.release.target_custom import name_of
from tests.client.conftest import Device
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer, refuse, vanish


def slots(device: Device) -> set[str]:
    return {path.name for path in (device.store.root / "slots").iterdir()}


def test_first_install_is_measured_and_reported(device: Device, lineage: Lineage) -> None:
    outcome = device.update()
    expected = lineage.expected(0)
    assert (outcome.action, outcome.version, outcome.from_digest) == ("installed", 0, None)
    assert device.digest() == outcome.digest == lineage.digest(0)
    assert (outcome.errors, outcome.total) == (expected.errors, expected.total)
    assert outcome.error_rate_ppm == outcome.expected_error_rate_ppm == expected.error_rate_ppm
    assert outcome.drift_ppm == 0
    [report] = device.server.reports
    assert report["stage"] == "installed"
    assert (report["from_digest"], report["to_digest"]) == (None, lineage.digest(0))
    assert (report["errors"], report["total"]) == (expected.errors, expected.total)
    assert report["downloaded_bytes"] == outcome.downloaded_bytes == served(device.server)
    manifest = lineage.snapshots[0]
    assert outcome.payload_bytes == manifest.payload.length
    assert outcome.probe_bytes == sum(probe.blob.length for probe in manifest.probes)
    assert outcome.graph_bytes == manifest.graph.length
    assert outcome.fetched_bytes == outcome.downloaded_bytes + outcome.metadata_bytes
    assert 0 < report["seconds_apply"] <= report["seconds_total"]


def test_the_token_goes_to_no_mirror(device: Device) -> None:
    """Blobs and metadata may come from anyone's."""
    device.update()
    for request in device.server.seen:
        public = "/v1/blobs/" in request.path or "/v1/tuf/" in request.path
        assert ("authorization" in request.headers) != public


def served(server: ScriptedServer) -> int:
    return sum(len(server.lineage.blobs[name]) for name in server.blobs_asked())


def test_a_chain_is_applied_in_one_pass(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 3
    device.server.seen.clear()
    outcome = device.update()
    assert device.digest() == outcome.digest == lineage.digest(3)
    assert outcome.payload_bytes == sum(step.payload.length for step in lineage.diffs)
    assert outcome.downloaded_bytes == outcome.payload_bytes  # graph and probe set were here already
    assert slots(device) == {lineage.digest(0), lineage.digest(3)}
    first = [lineage.snapshots[number].probes[0] for number in (0, 3)]
    drift = [Errors(probe.errors, probe.total).error_rate_ppm for probe in first]
    assert outcome.drift_ppm == drift[1] - drift[0] > 0
    assert {path.name for path in (device.store.root / "objects").iterdir()} == {
        blob.sha256 for blob in (lineage.graph, *(probe.blob for probe in lineage.snapshots[0].probes))
    }


def test_an_installed_target_is_a_no_op(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.seen.clear()
    # A server that offers what is there already is not believed to offer something new.
    device.server.rewrite = lambda answer: lineage.answer(None, 0)
    for _ in range(2):
        assert device.update().action == "none"
        device.server.heal()
    assert device.server.blobs_asked() == []
    assert len(device.server.reports) == 1


def test_nothing_published_yet(device: Device) -> None:
    nothing: dict[str, Any] = {"action": "none", "version": None, "digest": None, "steps": [], "poll_seconds": 60}
    device.server.rewrite = lambda _answer: nothing
    outcome = device.update()
    assert (outcome.action, outcome.version, device.digest()) == ("none", None, None)


def test_first_install_through_version_0_knows_its_drift(device: Device, lineage: Lineage) -> None:
    steps = [lineage.snapshots[0], *lineage.diffs[:2]]
    device.server.target = 2
    device.server.rewrite = lambda answer: answer | {"steps": [name_of(step) for step in steps]}
    outcome = device.update()
    assert device.digest() == lineage.digest(2)
    assert slots(device) == {lineage.digest(2)}
    before, now = (lineage.snapshots[number].probes[0] for number in (0, 2))
    rates = [Errors(probe.errors, probe.total).error_rate_ppm for probe in (now, before)]
    assert outcome.drift_ppm == rates[0] - rates[1]


def test_first_install_of_a_later_version_knows_its_drift(device: Device, lineage: Lineage) -> None:
    device.server.target = 2
    zero, two = (lineage.snapshots[number].probes[0] for number in (0, 2))
    assert device.update().drift_ppm == (two.errors - zero.errors) * 1_000_000 // zero.total


def test_the_version_kept_is_not_fetched_again(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.server.target = 0
    device.server.repository.permit(0, lineage.digest(0), below=1)
    device.server.seen.clear()
    outcome = device.update()
    assert (outcome.action, device.digest()) == ("installed", lineage.digest(0))
    assert device.server.blobs_asked() == []
    assert slots(device) == {lineage.digest(0), lineage.digest(1)}


def test_rollback_holds_back_until_the_target_changes(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    assert device.updater().rollback().digest == device.digest() == lineage.digest(0)
    report = device.server.reports[-1]
    assert (report["stage"], report["from_digest"]) == ("rolled_back", lineage.digest(1))
    assert report["to_digest"] == lineage.digest(0)
    for _ in range(2):
        assert device.update().action == "held_back"
        assert device.digest() == lineage.digest(0)
    device.server.target = 2
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(2)
    assert device.store.state().held_back is None


def test_force_installs_what_was_rolled_back_from(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.updater().rollback()
    assert device.update(force=True).action == "installed"
    assert device.digest() == lineage.digest(1)


def test_a_target_that_went_away_and_came_back_is_no_longer_held_back(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.updater().rollback()
    device.server.target = 0
    assert device.update().action == "none"
    device.server.target = 1
    assert device.update().action == "installed"


def test_rollback_needs_a_whole_version_to_go_to(device: Device, lineage: Lineage) -> None:
    device.update()
    with pytest.raises(NothingKept):
        device.updater().rollback()
    device.server.target = 1
    device.update()
    damage(device, lineage.digest(0))
    with pytest.raises(DigestMismatch, match=lineage.digest(0)):
        device.updater().rollback()
    assert device.digest() == lineage.digest(1)


def damage(device: Device, digest: str) -> None:
    with device.store.weights(digest).open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\x3f")


@pytest.mark.parametrize("fault", [vanish(0.5), refuse(503)], ids=["vanishes", "busy"])
def test_a_report_waits_for_the_server(device: Device, lineage: Lineage, fault: Any) -> None:
    device.server.fault("/reports", fault)
    device.server.lineage = lineage
    assert device.update().action == "installed"
    device.server.reports.clear()  # whether it heard the report or not, it did not say so
    assert len(device.store.state().outbox) == 1
    device.server.heal()
    assert device.update().action == "none"
    assert [report["stage"] for report in device.server.reports] == ["installed"]
    assert device.store.state().outbox == ()


def test_a_report_that_is_refused_is_let_go(device: Device) -> None:
    device.server.fault("/reports", refuse(422))
    device.update()
    assert device.store.state().outbox == ()


def test_rolling_back_needs_no_server(device: Device, lineage: Lineage) -> None:
    for device.server.target in (0, 1):
        device.update()
    device.server.close()
    device.updater().rollback()
    assert device.digest() == lineage.digest(0)
    assert [report.stage for report in device.store.state().outbox] == ["rolled_back"]


@pytest.mark.parametrize("target", [1, 2], ids=["nothing new", "something new"])
def test_a_damaged_version_is_noticed_and_fetched_afresh(device: Device, lineage: Lineage, target: int) -> None:
    for device.server.target in (0, 1):
        device.update()
    damage(device, lineage.digest(1))
    device.server.target = target
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(target)


def test_a_damaged_version_that_nothing_replaces_is_told(device: Device, lineage: Lineage) -> None:
    device.update()
    damage(device, lineage.digest(0))
    device.server.rewrite = lambda answer: answer | {"action": "none", "steps": []}
    with pytest.raises(UpdateFailed, match=lineage.digest(0)) as failed:
        device.update()
    assert type(failed.value.cause) is DigestMismatch
    assert device.server.reports[-1]["reason"].startswith("damaged or missing: weights")


@pytest.mark.parametrize("lost", ["graph", "probe"])
def test_a_lost_object_is_all_that_is_fetched_again(device: Device, lineage: Lineage, lost: str) -> None:
    device.update()
    blob = lineage.graph if lost == "graph" else lineage.snapshots[0].probes[1].blob
    device.store.object(blob).write_bytes(b"rust")
    with pytest.raises(DigestMismatch, match=blob.sha256):
        device.digest()
    device.server.seen.clear()
    device.update()
    assert device.server.blobs_asked() == [blob.sha256]
    assert device.digest() == lineage.digest(0)


def test_a_model_without_a_probe_set(device: Device, lineage: Lineage) -> None:
    bare = replace(lineage.snapshots[0], probes=(), error_rate_ppm=0)
    device.server.repository.cover([bare], {})
    outcome = device.update()
    assert (outcome.action, outcome.errors, outcome.drift_ppm) == ("installed", None, None)
