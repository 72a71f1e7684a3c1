"""The attacks, by what the attacker holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from diffclient.encode import encode
from diffclient.errors import (
    AnswerError,
    AnswerTooLong,
    Backwards,
    BadSignature,
    BrokenChain,
    DigestMismatch,
    Interrupted,
    ManifestError,
    MetadataExpired,
    MetadataMalformed,
    MetadataMismatch,
    MetadataRolledBack,
    MetadataTooLong,
    PayloadError,
    ProbationFailed,
    RangeError,
    ServerRefused,
    SnapshotWithheld,
    TooManyBytes,
    UnknownTarget,
    WrongLength,
    WrongModel,
    WrongParent,
)
from diffclient.manifest import Blob
from diffclient.names import graph_name
from diffclient.policy import Policy
from tests.attacks.attack import (
    Attack,
    Move,
    delegating,
    endless,
    fault,
    going_to,
    holding,
    naming,
    resigning,
    saying,
    serving,
    with_keys_of,
)
from tests.client import scripted_server as script
from tests.client.conftest import Device
from tests.client.lineage import MODEL
from tests.client.repository import Repository
from tests.factories import sparse_diff
from tests.fuzz.mutator import cut

BLOBS, TIMESTAMP = "/v1/blobs/", "timestamp.json"
FIRST, LAST = f"{MODEL}/v0/1.from.0", f"{MODEL}/v0/3.from.2"
WHOLE = f"{MODEL}/v0/3.snapshot"
ABSENT = "f" * 64


# The network, a mirror, a proxy: no key at all


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
    one, other = (line.blobs[step.payload.sha256] for step in line.diffs[:2])
    for step, data in ((line.diffs[0], other), (line.diffs[1], one)):
        device.server.fault(step.payload.sha256, script.say(data[: step.payload.length].ljust(step.payload.length)))


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
    Attack("metadata that redirects for ever", "trust", AnswerError, fault(TIMESTAMP, script.redirect)),
    Attack("metadata that is gone", "trust", ServerRefused, fault(TIMESTAMP, script.refuse(404))),
    Attack("a root of a stranger", "trust", BadSignature, serving("2.root.json", _foreign_root)),
    Attack("a root that skips one", "trust", BadSignature, serving("2.root.json", _skipping_root)),
    Attack("wrong hash: a blob altered", "download", DigestMismatch, fault(BLOBS, script.alter)),
    Attack("wrong length: a blob cut", "download", WrongLength, fault(BLOBS, script.cut)),
    Attack("wrong length: a blob lengthened", "download", WrongLength, fault(BLOBS, script.lengthen)),
    Attack("endless data", "download", WrongLength, fault(BLOBS, script.spill)),
    Attack("another part of a blob", "download", WrongLength, fault(BLOBS, script.misplace)),
    Attack("a blob that breaks off", "download", Interrupted, fault(BLOBS, script.vanish(0.3))),
    Attack("a blob compressed on the way", "download", AnswerError, fault(BLOBS, script.compress)),
    Attack("a blob that redirects for ever", "download", AnswerError, fault(BLOBS, script.redirect)),
    Attack("swapped payloads", "download", DigestMismatch, _swapped),
]  # fmt: skip


# Time


def _expired(role: str) -> Move:
    def move(device: Device) -> None:
        device.server.repository.expire(role)

    return move


def _clock_set_back(device: Device) -> None:
    """The device has seen next week; the clock says today again, and the metadata would do for tomorrow."""
    later = datetime.now(UTC) + timedelta(days=7)
    (device.store.trust / "latest").write_text(later.isoformat())
    device.server.repository.expire("timestamp", days=-1)


TIME = [
    *(Attack(f"freeze: an expired {role}", "trust", MetadataExpired, _expired(role))
      for role in ("root", "timestamp", "snapshot", "targets")),
    Attack("freeze: an expired model role", "chain", MetadataExpired, _expired(MODEL)),
    Attack("expired metadata and a clock that was set back", "trust", MetadataExpired, _clock_set_back),
]  # fmt: skip


# The server's answers: no key, but the device's token


POLLS = [
    Attack("an answer that is not JSON", "poll", AnswerError, fault("/poll", script.say(b"<html>"))),
    Attack("an endless answer", "poll", AnswerTooLong, fault("/poll", script.spill)),
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


# The keys of snapshot and timestamp


def _snapshot_of_old(device: Device) -> None:
    repository = device.server.repository
    repository.metadata["snapshot"].signed.version -= 2
    repository.write("snapshot")
    repository.write("timestamp")


def _role(change: MetaFile | None) -> Move:
    """A snapshot that knows another version of the model's role, or none."""

    def move(device: Device) -> None:
        repository = device.server.repository
        signed = repository.metadata["snapshot"].signed
        signed.meta.pop(f"{MODEL}.json")
        if change:
            signed.meta[f"{MODEL}.json"] = change
        signed.version += 1
        repository.serve("snapshot")
        repository.write("timestamp")

    return move


def _signed_with(role: str, other: str) -> Move:
    return with_keys_of(role, lambda _repository: other)


ONLINE = [
    Attack("rollback: an older snapshot, signed", "trust", MetadataRolledBack, _snapshot_of_old),
    Attack("rollback: an older model role, signed", "trust", MetadataRolledBack, _role(MetaFile(1))),
    Attack("a model role that disappears", "trust", MetadataRolledBack, _role(None)),
    Attack("a model role signed with the online key", "chain", BadSignature, _signed_with(MODEL, "snapshot")),
    Attack("targets signed with the online key", "trust", BadSignature, _signed_with("targets", "timestamp")),
    Attack("a timestamp signed with the snapshot's key", "trust", BadSignature, _signed_with("timestamp", "snapshot")),
]  # fmt: skip


# Thresholds


def _two_needed(role: str, signing: int) -> Move:
    """A new root asks for two keys of a role, and so many of them sign."""

    def move(device: Device) -> None:
        repository = device.server.repository
        second = CryptoSigner.generate_ed25519()
        repository.root.add_key(second.public_key, role)
        repository.root.roles[role].threshold = 2
        repository.write("root")
        repository.signers[role] = [repository.signers[role][0], second][:signing]
        for each in ("targets", "snapshot", "timestamp"):
            repository.write(each)

    return move


def _signed_twice(device: Device) -> None:
    _two_needed("timestamp", 1)(device)
    files = device.server.repository.files
    said = json.loads(files[TIMESTAMP])
    files[TIMESTAMP] = json.dumps(said | {"signatures": said["signatures"] * 2}).encode()


def _root_below_its_own(device: Device) -> None:
    """A root whose threshold is two, signed by the one key before it."""
    repository = device.server.repository
    repository.root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    repository.root.roles["root"].threshold = 2
    repository.write("root")


def _root_without_the_old_key(device: Device) -> None:
    repository = device.server.repository
    repository.rotate("root")
    metadata = repository.metadata["root"]
    metadata.signatures.clear()
    metadata.sign(repository.signers["root"][0])
    repository.files["2.root.json"] = metadata.to_bytes()


THRESHOLDS = [
    Attack("targets below the threshold", "trust", BadSignature, _two_needed("targets", 1)),
    Attack("a timestamp below the threshold", "trust", BadSignature, _two_needed("timestamp", 1)),
    Attack("one key that signs twice", "trust", MetadataMalformed, _signed_twice),
    Attack("a root below its own threshold", "trust", BadSignature, _root_below_its_own),
    Attack("a root without the one before it", "trust", BadSignature, _root_without_the_old_key),
    Attack("a model role of a stranger", "chain", BadSignature, with_keys_of(MODEL, lambda _r: Repository(MODEL))),
]


# The model's key: whatever it signs has to hold together


def _field(**changes: Any) -> Any:
    return lambda custom: {"diffserver": custom["diffserver"] | changes}


def _replayed(name: str, other: str) -> Move:
    """The custom fields of one target with the name of another."""

    def move(device: Device) -> None:
        repository = device.server.repository
        naming(name, lambda _custom: repository.named[other].custom)(device)

    return move


def _hashes(**hashes: str) -> Move:
    return resigning(MODEL, lambda metadata: setattr(metadata.signed.targets[LAST], "hashes", hashes))


def _bytes_of(other: str) -> Any:
    def make(device: Device) -> Blob:
        target = device.server.repository.named[other]
        return Blob(target.hashes["sha256"], target.length)

    return make


def _payload(make: Any) -> Any:
    """Bytes made of the honest payload."""

    def found(device: Device) -> Blob:
        line = device.server.lineage
        return line.add(make(line.blobs[line.diffs[2].payload.sha256], line))

    return found


def _bomb(honest_payload: bytes, _line: Any) -> bytes:
    """Records that are 64 MB of zeros, in a frame of some kilobytes."""
    parts = cut(honest_payload)
    assert parts is not None
    header, (_, *rest) = parts
    frame = zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20))
    lengths = b"".join(len(part).to_bytes(4, "little") for part in (frame, *rest))
    return b"".join((header[:32], lengths, frame, *rest))


def _other_diff(step: int) -> Any:
    def make(_honest: bytes, line: Any) -> bytes:
        table = line.versions[2].table
        return encode(sparse_diff(table, seed=77, density=0.3, step=step), table, line.digest(2))

    return make


def _permitted(version: int, below: int, of: int | None = None) -> Move:
    def move(device: Device) -> None:
        digest = device.server.lineage.digest(version if of is None else of)
        device.server.repository.permit(version, digest, below)

    return move


def _other_graph(device: Device) -> None:
    honest_graph = device.server.lineage.graph
    holding(graph_name(MODEL, honest_graph.sha256), _payload(lambda _data, _line: b"{}"))(device)


def _misjudged(custom: Any) -> Any:
    facts = custom["diffserver"]
    probes = [[domain, target, words, max(0, errors - 5)] for domain, target, words, errors in facts["probes"]]
    return {"diffserver": facts | {"probes": probes}}


_CIRCLE = delegating({"ring": MODEL, "rung": "ring", MODEL: "rung"})
_MANY = delegating({f"r{number}": MODEL for number in range(50)})

MODEL_KEY = [
    Attack("replayed manifest: facts of another version", "chain", ManifestError, _replayed(
        WHOLE, f"{MODEL}/v0/2.snapshot")),
    Attack("replayed manifest: a step of another", "chain", ManifestError, _replayed(LAST, FIRST)),
    Attack("a step that leads elsewhere", "chain", BrokenChain, naming(LAST, _field(to=ABSENT))),
    Attack("a step that starts elsewhere", "chain", BrokenChain, naming(LAST, _field(**{"from": ABSENT}))),
    Attack("facts of other weights", "chain", ManifestError, naming(WHOLE, _field(digest=ABSENT))),
    Attack("facts with a fraction", "chain", ManifestError, naming(WHOLE, _field(wer_ppm="0.5"))),
    Attack("facts that name a path", "chain", ManifestError, naming(WHOLE, _field(graph="../graph"))),
    Attack("facts that name another model's graph", "chain", ManifestError, naming(
        WHOLE, _field(graph=f"dictation/graph/{'0' * 16}"))),
    Attack("facts that name what no one signed", "chain", UnknownTarget, naming(
        WHOLE, _field(graph=f"{MODEL}/graph/{'0' * 16}"))),
    Attack("a kind that is unknown", "chain", ManifestError, naming(LAST, _field(kind="magic"))),
    Attack("custom fields that are too many", "chain", ManifestError, naming(LAST, _field(more=1))),
    Attack("custom fields that are missing", "chain", ManifestError, naming(LAST, lambda _custom: {})),
    Attack("a hash of another kind alone", "chain", ManifestError, _hashes(sha512="a" * 128)),
    Attack("a hash that is a path", "chain", ManifestError, _hashes(sha256="../" + "a" * 61)),
    Attack("delegations in a circle", "chain", UnknownTarget, _CIRCLE),
    Attack("delegations without end", "chain", UnknownTarget, _MANY),
    Attack("swapped payloads, signed", "decode", WrongParent, holding(LAST, _bytes_of(FIRST))),
    Attack("a snapshot as a diff", "decode", PayloadError, holding(LAST, _bytes_of(WHOLE))),
    Attack("a payload cut short, signed", "decode", PayloadError, holding(LAST, _payload(lambda data, _l: data[:-7]))),
    Attack("a bomb in zstd", "decode", PayloadError, holding(LAST, _payload(_bomb))),
    Attack("weights that leave their grid", "apply", RangeError, holding(LAST, _payload(_other_diff((1 << 25) // 8)))),
    Attack("a sound diff to other weights", "digest", DigestMismatch, holding(LAST, _payload(_other_diff(60_000)))),
    Attack("another graph under a graph's name", "chain", ManifestError, _other_graph),
    Attack("fewer errors promised", "probation", ProbationFailed, naming(WHOLE, _misjudged)),
    Attack("more drift than the bound", "probation", ProbationFailed, naming(WHOLE, _field(max_drift_ppm=1))),
    Attack("backwards, permitted to older devices only", "chain", Backwards, going_to(0, _permitted(0, 1)), runs=2),
    Attack("backwards, permitted to other weights", "chain", Backwards, going_to(0, _permitted(0, 2, of=1)), runs=2),
    Attack("backwards, permitted to another version", "chain", Backwards, going_to(0, _permitted(1, 2)), runs=2),
]  # fmt: skip


ATTACKS = {
    "network": NETWORK, "time": TIME, "server": POLLS, "costs": COSTS, "online keys": ONLINE,
    "thresholds": THRESHOLDS, "model key": MODEL_KEY,
}  # fmt: skip
"""By what the attacker holds."""
