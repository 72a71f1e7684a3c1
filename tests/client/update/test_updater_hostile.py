"""The updater and a server, or a network, that does not mean well: every row keeps the version in use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from securesystemslib.signer import CryptoSigner

from diffclient.diff.streams import Diff
from diffclient.errors import (
    AnswerError,
    AnswerTooLong,
    BadSignature,
    BrokenChain,
    DiffClientError,
    DigestMismatch,
    Interrupted,
    ManifestError,
    MetadataExpired,
    MetadataMalformed,
    MetadataRolledBack,
    MetadataTooLong,
    NetworkError,
    PayloadError,
    PayloadTooNew,
    ProbationFailed,
    RangeError,
    ServerBusy,
    ServerRefused,
    SnapshotError,
    UnknownTarget,
    UpdateFailed,
    WrongLength,
    WrongModel,
    WrongParent,
)
from diffclient.payload.encode import encode
from diffclient.release.manifest import Manifest
from diffclient.release.target_custom import name_of
from diffclient.release.target_names import diff_name, snapshot_name
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import CLASSIFIER, MODEL, Lineage, felt_diff
from tests.client.scripted_server import ScriptedServer
from tests.factories import hashed_diff, sparse_diff

Arrange = Callable[[ScriptedServer], None]


@dataclass(frozen=True)
class Attack:
    """What goes wrong, where the updater notices, and as what."""

    name: str
    stage: str
    cause: type[DiffClientError]
    arrange: Arrange


def fault(path: str, how: scripted_server.Fault) -> Arrange:
    return lambda server: server.fault(path, how)


def saying(**fields: Any) -> Arrange:
    """An honest answer with some fields replaced."""

    def arrange(server: ScriptedServer) -> None:
        server.rewrite = lambda answer: answer | fields

    return arrange


def raw(body: bytes) -> Arrange:
    return fault("/device/poll", scripted_server.say(body))


def stepping(change: Callable[[ScriptedServer, Lineage, list[Manifest]], list[Manifest]]) -> Arrange:
    """An honest answer with other steps, all of them signed: a fault of the operator's, or a key that was stolen."""

    def arrange(server: ScriptedServer) -> None:
        line = server.lineage
        steps = change(server, line, line.steps(line.digest(0), server.target))
        server.repository.cover(steps, {step.to_version: step.payload for step in line.snapshots})
        server.rewrite = lambda answer: answer | {"steps": [name_of(step) for step in steps]}

    return arrange


def last(**fields: Any) -> Arrange:
    """An honest answer whose last step's manifest has some fields replaced."""
    return stepping(lambda _server, _line, steps: [*steps[:-1], replace(steps[-1], **fields)])


def carrying(make: Callable[[Lineage, bytes], bytes], whose: Literal["payload", "graph"] = "payload") -> Arrange:
    """A manifest that names, by its true length and SHA-256, other bytes than it should."""

    def change(_server: ScriptedServer, line: Lineage, steps: list[Manifest]) -> list[Manifest]:
        honest = steps[-1]
        blob = line.add(make(line, line.blobs[(honest.graph if whose == "graph" else honest.payload).sha256]))
        forged = replace(honest, graph=blob) if whose == "graph" else replace(honest, payload=blob)
        return [*steps[:-1], forged]

    return stepping(change)


def other_payload(make: Callable[..., Diff], parent: int, **arguments: Any) -> Arrange:
    """A sound payload of another diff, from the version `parent`."""

    def build(line: Lineage, _honest: bytes) -> bytes:
        table = line.versions[parent].table
        return encode(make(table, **arguments), table, line.digest(parent))

    return carrying(build)


def leaving_the_grid(table: Any) -> Diff:
    return sparse_diff(table, seed=9, density=0.3, step=(1 << 25) // 8)


def foreign_payload(line: Lineage, _honest: bytes) -> bytes:
    other = Lineage(line.folder / "foreign", replace(CLASSIFIER, shapes={"head.weight": (10, 16)}), seed=7)
    return encode(sparse_diff(other.versions[0].table), other.versions[0].table, other.digest(0))


def misjudged(server: ScriptedServer, line: Lineage, steps: list[Manifest]) -> list[Manifest]:
    probes = tuple(replace(probe, errors=probe.errors + 1) for probe in steps[-1].probes)
    return [*steps[:-1], replace(steps[-1], probes=probes)]


def miscounted(server: ScriptedServer, line: Lineage, steps: list[Manifest]) -> list[Manifest]:
    probes = tuple(replace(probe, total=probe.total + 1) for probe in steps[-1].probes)
    return [*steps[:-1], replace(steps[-1], probes=probes)]


def older(server: ScriptedServer) -> None:
    """An old timestamp, from when there was less to see."""
    files = server.repository.files
    server.repository.files = {**files, "timestamp.json": server.first_timestamp}


def forge(server: ScriptedServer) -> None:
    server.repository.signers["timestamp"] = [CryptoSigner.generate_ed25519()]
    server.repository.write("timestamp")


def tamper(reply: scripted_server.Reply) -> None:
    reply.body = reply.body.replace(b'"max_drift_ppm":900000', b'"max_drift_ppm":900001')


def dumb(server: ScriptedServer) -> None:
    server.repository.named[snapshot_name(MODEL, 3)].unrecognized_fields = {}
    server.repository.publish()


ABSENT = "f" * 64
BLOBS, POLL = "/v1/blobs/", "/device/poll"

POLLS = [
    Attack("is not JSON", "poll", AnswerError, raw(b"<html>welcome to the hotel</html>")),
    Attack("is not UTF-8", "poll", AnswerError, raw(b'{"action": "\xff"}')),
    Attack("is a list", "poll", AnswerError, raw(b"[]")),
    Attack("is empty", "poll", AnswerError, raw(b"")),
    Attack("nests a million deep", "poll", AnswerError, raw(b"[" * 1_000_000)),
    Attack("has a number of a million digits", "poll", AnswerError, raw(b'{"version": ' + b"9" * 1_000_000 + b"}")),
    Attack("says a thing twice", "poll", AnswerError, raw(b'{"action": "none", "action": "update"}')),
    Attack("is endless", "poll", AnswerTooLong, fault(POLL, scripted_server.spill)),
    Attack("has NaN", "poll", AnswerError, raw(b'{"action": "none", "steps": [], "poll_seconds": NaN}')),
    Attack("asks for the unknown", "poll", AnswerError, saying(action="explode")),
    Attack("updates without steps", "poll", AnswerError, saying(steps=[])),
    Attack("does nothing in steps", "poll", AnswerError, saying(action="none")),
    Attack("has steps of another type", "poll", AnswerError, saying(steps="many")),
    Attack("has too many steps", "poll", AnswerError, saying(steps=[{}] * 1001)),
    Attack("has a step that is no name", "poll", AnswerError, saying(steps=[{"model": "commands"}])),
    Attack("has a path for a step", "poll", AnswerError, saying(steps=["commands/v0/../../../etc/passwd"])),
    Attack("names a path as digest", "poll", AnswerError, saying(digest="../../etc/passwd")),
    Attack("has no digest", "poll", AnswerError, saying(digest=None)),
    Attack("wants polls at a fraction", "poll", AnswerError, saying(poll_seconds=0.5)),
    Attack("wants polls in the past", "poll", AnswerError, saying(poll_seconds=-1)),
    Attack("redirects", "poll", AnswerError, fault(POLL, scripted_server.redirect)),
    Attack("is busy", "poll", ServerBusy, fault(POLL, scripted_server.refuse(503, "0"))),
    Attack("fails", "poll", ServerBusy, fault(POLL, scripted_server.refuse(500))),
    Attack("knows no such device", "poll", ServerRefused, fault(POLL, scripted_server.refuse(401))),
    Attack("breaks off", "poll", Interrupted, fault(POLL, scripted_server.vanish(0.5))),
]
TRUST = [
    Attack("is expired", "trust", MetadataExpired, lambda server: server.repository.expire("timestamp")),
    Attack("is older", "trust", MetadataRolledBack, older),
    Attack("is forged", "trust", BadSignature, forge),
    Attack(
        "is garbage", "trust", MetadataMalformed, fault("timestamp.json", scripted_server.say(b"<html>hotel</html>"))
    ),
    Attack("is endless", "trust", MetadataTooLong, fault("timestamp.json", scripted_server.spill)),
    Attack("is gone", "trust", ServerRefused, fault("timestamp.json", scripted_server.refuse(404))),
    Attack("breaks off", "trust", Interrupted, fault("snapshot.json", scripted_server.vanish(0.5))),
    Attack("is not signed", "chain", UnknownTarget, saying(steps=[diff_name(MODEL, 3, 0)])),
    Attack("is altered", "chain", BadSignature, fault(f"{MODEL}.json", lambda reply: tamper(reply))),
    Attack("says nothing", "chain", ManifestError, dumb),
]
CHAINS = [
    Attack("lacks a link", "chain", BrokenChain, stepping(lambda _s, _l, steps: [steps[0], steps[2]])),
    Attack("starts elsewhere", "chain", BrokenChain, stepping(lambda _s, _l, steps: steps[1:])),
    Attack("ends early", "chain", BrokenChain, stepping(lambda _s, _l, steps: steps[:-1])),
    Attack("is in another order", "chain", BrokenChain, stepping(lambda _s, _l, steps: steps[::-1])),
    Attack("goes in a circle", "chain", BrokenChain, stepping(lambda _s, _l, steps: steps + steps)),
    Attack("starts anew in the middle", "chain", BrokenChain, stepping(
        lambda _s, line, steps: [*steps[:2], line.snapshots[3]])),
    Attack("leads to another target", "chain", BrokenChain, saying(digest=ABSENT)),
    Attack("miscounts its versions", "chain", BrokenChain, last(from_version=0)),
    Attack("ends at another version", "chain", BrokenChain, saying(version=7)),
    Attack("is of another model", "chain", WrongModel, last(model="dictation")),
]  # fmt: skip
DOWNLOADS = [
    Attack("breaks off", "download", Interrupted, fault(BLOBS, scripted_server.vanish(0.3))),
    Attack("breaks off unannounced", "download", Interrupted, fault(BLOBS, scripted_server.hurry)),
    Attack("is altered", "download", DigestMismatch, fault(BLOBS, scripted_server.alter)),
    Attack("is too short", "download", WrongLength, fault(BLOBS, scripted_server.cut)),
    Attack("is too long", "download", WrongLength, fault(BLOBS, scripted_server.lengthen)),
    Attack("is endless", "download", WrongLength, fault(BLOBS, scripted_server.spill)),
    Attack("is another part", "download", WrongLength, fault(BLOBS, scripted_server.misplace)),
    Attack("is compressed", "download", AnswerError, fault(BLOBS, scripted_server.compress)),
    Attack("is elsewhere for ever", "download", AnswerError, fault(BLOBS, scripted_server.redirect)),
    Attack("is gone", "download", ServerRefused, fault(BLOBS, scripted_server.refuse(404))),
    Attack("has to wait", "download", ServerBusy, fault(BLOBS, scripted_server.refuse(503, "3600"))),
]
PAYLOADS = [
    Attack("is foreign", "decode", WrongParent, carrying(foreign_payload)),
    Attack("starts from another version", "decode", WrongParent, other_payload(sparse_diff, 0)),
    Attack("is truncated", "decode", PayloadError, carrying(lambda _line, honest: honest[:-7])),
    Attack("is empty", "decode", PayloadError, carrying(lambda _line, honest: b"")),
    Attack("is altered", "decode", PayloadTooNew, carrying(lambda _line, honest: b"NDIF\x09" + honest[5:])),
    Attack("is of another kind", "decode", PayloadError, other_payload(hashed_diff, 2)),
    Attack("is a snapshot", "decode", PayloadError, carrying(
        lambda line, _honest: line.blobs[line.snapshots[3].payload.sha256])),
    Attack("leaves the grid", "apply", RangeError, other_payload(leaving_the_grid, 2)),
    Attack("is another diff", "digest", DigestMismatch, other_payload(sparse_diff, 2, seed=77)),
]  # fmt: skip
PROBATIONS = [
    Attack("expects other errors", "probation", ProbationFailed, stepping(misjudged)),
    Attack("expects another total", "probation", ProbationFailed, stepping(miscounted)),
    Attack("drifts too far", "probation", ProbationFailed, last(max_drift_ppm=1)),
    Attack("has a graph that does not run", "probation", ProbationFailed, carrying(lambda _l, _h: b"{}", "graph")),
]


@pytest.mark.parametrize(
    "attack",
    POLLS + TRUST + CHAINS + DOWNLOADS + PAYLOADS + PROBATIONS,
    ids=lambda attack: f"{attack.stage}: {attack.name}",
)
def test_the_version_in_use_stays(attack: Attack, device: Device, lineage: Lineage) -> None:
    device.update()
    before = device.store.state()
    device.server.target = 3
    device.server.reports.clear()
    device.server.repository.publish()  # so that there is something new to fetch
    attack.arrange(device.server)

    with pytest.raises(UpdateFailed) as failed:
        device.update()

    assert (failed.value.stage, type(failed.value.cause)) == (attack.stage, attack.cause)
    assert str(failed.value.cause) in str(failed.value)
    after = device.store.state()
    assert device.digest() == lineage.digest(0)
    assert (after.current, after.previous) == (before.current, before.previous)
    assert after.failure is not None
    assert after.failure.stage == attack.stage
    for report in device.server.reports:
        ended = "postponed" if after.failure.cause in ("network", "server") else "failed"
        assert (report["stage"], report["failed_stage"]) == (ended, attack.stage)
        assert (report["reason"], report["cause"]) == (after.failure.reason, after.failure.cause)
    quiet = attack.stage in ("poll", "trust") and issubclass(attack.cause, NetworkError)
    assert len(device.server.reports) == (0 if quiet else 1)

    device.server.heal()
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(3)
    assert device.store.state().failure is None


def test_a_first_install_is_as_safe(device: Device, lineage: Lineage) -> None:
    garbage = lineage.add(b"not a snapshot at all")
    device.server.repository.cover([replace(lineage.snapshots[0], payload=garbage)], {})
    with pytest.raises(UpdateFailed) as failed:
        device.update()
    assert (failed.value.stage, type(failed.value.cause)) == ("decode", SnapshotError)
    assert device.digest() is None
    device.server.heal()
    assert device.update().action == "installed"


def test_altered_weights_show_in_what_is_measured(device: Device, lineage: Lineage, tmp_path: Path) -> None:
    """Other weights, honest in every digest, with the errors that the manifest of the true ones expects."""
    device.update()
    altered = Lineage(tmp_path / "altered", CLASSIFIER)
    altered.extend(felt_diff(altered.versions[0].table, seed=5))
    honest, forged = lineage.snapshots[1], altered.diffs[0]
    assert abs(altered.expected(1).errors - lineage.expected(1).errors) > 1
    forged = replace(forged, probes=honest.probes, error_rate_ppm=honest.error_rate_ppm)
    device.server.lineage, device.server.target = altered, 1
    device.server.repository.cover([forged], {1: altered.snapshots[1].payload})
    with pytest.raises(UpdateFailed) as failed:
        device.update()
    assert isinstance(failed.value.cause, ProbationFailed)
    [report] = [report for report in device.server.reports if report["stage"] == "failed"]
    assert report["errors"] == altered.expected(1).errors != honest.probes[0].errors
    assert device.digest() == lineage.digest(0)


def test_a_name_that_garbles_terminals_is_made_plain(device: Device, lineage: Lineage) -> None:
    """A failure's reason quotes the server; it must neither reach a terminal raw nor spoil the state."""
    device.update()
    device.server.target = 1
    step = lineage.diffs[0]
    odd = tuple(replace(probe, domain="\x9b0;owned\x7f", errors=probe.errors + 9) for probe in step.probes)
    device.server.repository.cover([replace(step, probes=odd)], {1: lineage.snapshots[1].payload})
    with pytest.raises(UpdateFailed):
        device.update()
    failure = device.store.state().failure
    assert failure is not None
    assert "?0;owned?" in failure.reason
    assert device.server.reports[-1]["reason"] == failure.reason


def test_a_scorer_that_crashes_fails_probation(device: Device, lineage: Lineage) -> None:
    def crash(*_: object) -> list[Any]:
        raise ZeroDivisionError("a bug in the model's own code")

    device.score = crash
    with pytest.raises(UpdateFailed, match="ZeroDivisionError") as failed:
        device.update()
    assert (failed.value.stage, type(failed.value.cause)) == ("probation", ProbationFailed)


def test_what_arrived_before_a_failed_probation_is_not_fetched_again(device: Device, lineage: Lineage) -> None:
    device.update()
    device.server.target = 1
    next(row for row in PROBATIONS if row.name == "drifts too far").arrange(device.server)
    device.server.seen.clear()
    with pytest.raises(UpdateFailed):
        device.update()
    device.server.heal()
    device.update()
    assert device.server.blobs_asked() == [lineage.diffs[0].payload.sha256]


def test_the_answer_is_bounded_in_time_as_well(device: Device) -> None:
    """A server cannot silence a device for longer than a day."""
    device.server.rewrite = lambda answer: answer | {"poll_seconds": 10**9}
    assert device.update().poll_seconds == 24 * 3600
    assert json.loads((device.store.root / "state.json").read_text())["current"]
