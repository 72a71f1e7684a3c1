"""Attackers with the model's key, whose signed data must still be consistent."""

from __future__ import annotations

from typing import Any

import zstandard

from diffclient.errors import (
    Backwards,
    BrokenChain,
    DigestMismatch,
    ManifestError,
    PayloadError,
    ProbationFailed,
    RangeError,
    UnknownTarget,
    WrongParent,
)
from diffclient.payload.encode import encode
from diffclient.release.manifest import Blob
from diffclient.release.target_names import graph_name
from tests.attacks.attack import (
    Attack,
    Move,
    delegating,
    going_to,
    holding,
    naming,
    resigning,
)
from tests.client.conftest import Device
from tests.client.lineage import MODEL
from tests.factories import sparse_diff
from tests.fuzz.mutator import cut

FIRST, LAST = f"{MODEL}/v0/1.from.0", f"{MODEL}/v0/3.from.2"
WHOLE = f"{MODEL}/v0/3.snapshot"
ABSENT = "f" * 64


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

    def payload(device: Device) -> Blob:
        line = device.server.lineage
        return line.add(make(line.blobs[line.diffs[2].payload.sha256], line))

    return payload


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
    probes = [[domain, target, total, max(0, errors - 5)] for domain, target, total, errors in facts["probes"]]
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
    Attack("facts with a fraction", "chain", ManifestError, naming(WHOLE, _field(error_rate_ppm="0.5"))),
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
