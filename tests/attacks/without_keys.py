"""Attackers without a key: the network and mirrors, time, the server's answers; and what owners allow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from diffclient.errors import (
    AnswerError,
    AnswerTooLong,
    Backwards,
    BadSignature,
    BrokenChain,
    DigestMismatch,
    Interrupted,
    MetadataExpired,
    MetadataMalformed,
    MetadataMismatch,
    MetadataRolledBack,
    MetadataTooLong,
    ServerRefused,
    SnapshotWithheld,
    TooManyBytes,
    UnknownTarget,
    WrongLength,
    WrongModel,
)
from diffclient.store.policy import Policy
from tests.attacks.attack import (
    Attack,
    Move,
    endless,
    fault,
    going_to,
    saying,
    serving,
)
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import MODEL
from tests.client.repository import Repository

BLOBS, TIMESTAMP = "/v1/blobs/", "timestamp.json"
FIRST, LAST = f"{MODEL}/v0/1.from.0", f"{MODEL}/v0/3.from.2"
WHOLE = f"{MODEL}/v0/3.snapshot"
ABSENT = "f" * 64


def _older(name: str) -> Move:
    """Serve a file's first state under its newest name."""

    def move(device: Device) -> None:
        files, role = device.server.repository.files, name.removesuffix(".json")
        first = files[f"1.{name}"]
        device.server.repository.publish()
        files[f"{device.server.repository.metadata[role].signed.version}.{name}"] = first

    return move


def _once_more(device: Device) -> None:
    device.server.repository.files[TIMESTAMP] = device.server.first_timestamp


def _altered(repository: Repository) -> bytes:
    return repository.files[TIMESTAMP].replace(b'"version":', b'"version":1', 1)


def _unsigned(repository: Repository) -> bytes:
    return json.dumps(json.loads(repository.files[TIMESTAMP]) | {"signatures": []}).encode()


def _foreign_root(repository: Repository) -> bytes:
    stranger = Repository(MODEL)
    stranger.write("root")
    return stranger.files["2.root.json"]


def _skipping_root(repository: Repository) -> bytes:
    repository.rotate("root")
    repository.rotate("root")
    return repository.files["3.root.json"]


def _swapped(device: Device) -> None:
    """Two payloads change places, each as long as the other was to be."""
    line = device.server.lineage
    first, second = (line.blobs[step.payload.sha256] for step in line.diffs[:2])
    for step, data in ((line.diffs[0], second), (line.diffs[1], first)):
        device.server.fault(
            step.payload.sha256, scripted_server.say(data[: step.payload.length].ljust(step.payload.length))
        )


NETWORK = [
    Attack("rollback: an older timestamp", "trust", MetadataRolledBack, _once_more),
    Attack("mix and match: another snapshot", "trust", MetadataRolledBack, _older("snapshot.json")),
    Attack("mix and match: another model role", "chain", MetadataMismatch, _older(f"{MODEL}.json")),
    Attack("a timestamp that was altered", "trust", BadSignature, serving(TIMESTAMP, _altered)),
    Attack("a timestamp without signatures", "trust", BadSignature, serving(TIMESTAMP, _unsigned)),
    Attack("a snapshot in the timestamp's place", "trust", MetadataMismatch, serving(
        TIMESTAMP, lambda repository: repository.files["1.snapshot.json"])),
    Attack("metadata that nests a million deep", "trust", MetadataMalformed, serving(
        TIMESTAMP, lambda _repository: b"[" * 16_000)),
    Attack("metadata that is a hotel's welcome", "trust", MetadataMalformed, serving(
        TIMESTAMP, lambda _repository: b"<html>welcome</html>")),
    Attack("an endless timestamp", "trust", MetadataTooLong, endless(TIMESTAMP)),
    Attack("an endless root", "trust", MetadataTooLong, endless("2.root.json")),
    Attack("an endless snapshot", "trust", MetadataTooLong, endless("{role}.snapshot.json")),
    Attack("an endless model role", "chain", MetadataTooLong, endless(f"{{role}}.{MODEL}.json")),
    Attack("metadata that redirects for ever", "trust", AnswerError, fault(TIMESTAMP, scripted_server.redirect)),
    Attack("metadata that is gone", "trust", ServerRefused, fault(TIMESTAMP, scripted_server.refuse(404))),
    Attack("a root of a stranger", "trust", BadSignature, serving("2.root.json", _foreign_root)),
    Attack("a root that skips one", "trust", BadSignature, serving("2.root.json", _skipping_root)),
    Attack("wrong hash: a blob altered", "download", DigestMismatch, fault(BLOBS, scripted_server.alter)),
    Attack("wrong length: a blob cut", "download", WrongLength, fault(BLOBS, scripted_server.cut)),
    Attack("wrong length: a blob lengthened", "download", WrongLength, fault(BLOBS, scripted_server.lengthen)),
    Attack("endless data", "download", WrongLength, fault(BLOBS, scripted_server.spill)),
    Attack("another part of a blob", "download", WrongLength, fault(BLOBS, scripted_server.misplace)),
    Attack("a blob that breaks off", "download", Interrupted, fault(BLOBS, scripted_server.vanish(0.3))),
    Attack("a blob compressed on the way", "download", AnswerError, fault(BLOBS, scripted_server.compress)),
    Attack("a blob that redirects for ever", "download", AnswerError, fault(BLOBS, scripted_server.redirect)),
    Attack("swapped payloads", "download", DigestMismatch, _swapped),
]  # fmt: skip


# Time


def _expired(role: str) -> Move:
    def move(device: Device) -> None:
        device.server.repository.expire(role)

    return move


def _clock_set_back(device: Device) -> None:
    """The device has seen the evening; the clock says morning again, and the metadata would do for noon."""
    later = datetime.now(UTC) + timedelta(hours=20)
    (device.store.trust / "latest").write_text(later.isoformat())
    device.server.repository.expire("timestamp", days=-0.5)


TIME = [
    *(Attack(f"freeze: an expired {role}", "trust", MetadataExpired, _expired(role))
      for role in ("root", "timestamp", "snapshot", "targets")),
    Attack("freeze: an expired model role", "chain", MetadataExpired, _expired(MODEL)),
    Attack("expired metadata and a clock that was set back", "trust", MetadataExpired, _clock_set_back),
]  # fmt: skip


# The server's answers: no key, but the device's token


POLLS = [
    Attack("an answer that is not JSON", "poll", AnswerError, fault("/poll", scripted_server.say(b"<html>"))),
    Attack("an endless answer", "poll", AnswerTooLong, fault("/poll", scripted_server.spill)),
    Attack("nothing to do, in steps", "poll", AnswerError, saying(action="none")),
    Attack("a thousand and one steps", "poll", AnswerError, saying(steps=[LAST] * 1001)),
    Attack("a digest that is a path", "poll", AnswerError, saying(digest="../../etc/passwd")),
    *(Attack(f"a path in a target's name: {name}", "poll", AnswerError, saying(steps=[name])) for name in (
        "../../../etc/passwd", f"{MODEL}/v0/../3.from.2", f"/{LAST}", f"{MODEL}//3.from.2", f"{MODEL}/v0/3.from.2\0",
        f"{MODEL}/v7/3.from.2", "timestamp")),
    Attack("foreign model", "chain", WrongModel, saying(steps=[LAST.replace(MODEL, "dictation")])),
    Attack("a target that no one signed", "chain", UnknownTarget, saying(
        steps=[f"{MODEL}/v0/9.snapshot"], version=9)),
    Attack("a graph as a step", "chain", BrokenChain, saying(steps=[f"{MODEL}/graph/{'0' * 16}"])),
    Attack("a chain with a missing link", "chain", BrokenChain, saying(steps=[FIRST, LAST])),
    Attack("a chain in a circle", "chain", BrokenChain, saying(steps=[FIRST, f"{MODEL}/v0/2.from.1", FIRST])),
    Attack("a chain from elsewhere", "chain", BrokenChain, saying(steps=[f"{MODEL}/v0/2.from.1", LAST])),
    Attack("a chain that starts anew", "chain", BrokenChain, saying(steps=[FIRST, WHOLE])),
    Attack("an answer that lies about the digest", "chain", BrokenChain, saying(digest=ABSENT)),
    Attack("an answer that lies about the version", "chain", BrokenChain, saying(version=7)),
    Attack("backwards, without a permission", "chain", Backwards, going_to(0), runs=2),
]  # fmt: skip


# The operator's mistakes, and policies


def _policy(policy: Policy, metered: bool, *steps: str) -> Move:
    def move(device: Device) -> None:
        device.store.allow(policy)
        device.metered = metered
        device.server.rewrite = lambda answer: answer | {"action": "update", "notice": None} | (
            {"steps": list(steps)} if steps else {})  # fmt: skip

    return move


COSTS = [
    Attack("a snapshot over a metered link", "policy", SnapshotWithheld, _policy(Policy(), True, WHOLE)),
    Attack("a snapshot where none may ever come", "policy", SnapshotWithheld, _policy(Policy("never"), False, WHOLE)),
    Attack("more bytes than allowed", "policy", TooManyBytes, _policy(Policy(max_bytes=10), False)),
]
