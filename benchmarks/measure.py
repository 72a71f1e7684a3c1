"""Measure one case: our payload, and the peers' sizes for the same old and new weights."""

from __future__ import annotations

import filecmp
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import layouts, nnc, peers
from benchmarks.cases import Case, write_raw
from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, Stream
from diffclient.payload.decode import decode
from diffclient.payload.encode import encode

PARENT = "0" * 64  # the digest's value does not change a payload's length
_SECTIONS = struct.Struct("<32x3I")

Reasons = dict[str, str]


class Mismatch(Exception):
    """A payload or patch that does not restore the data that it was made from."""


def measure(case: Case, missing: Reasons, codec: nnc.Codec) -> dict[str, Any]:
    """Return a case's figures; peers in `missing` are not run. Raises Mismatch if a restored file or diff differs."""
    start = time.perf_counter()
    payload = encode(case.diff, case.table, PARENT)
    encoded = time.perf_counter()
    restored = decode(payload, case.table, PARENT)
    decoded = time.perf_counter()
    if not same(case.diff, restored):
        raise Mismatch(f"{case.name}: decoding the payload gives another diff")
    sizes, left_out = _peers(case, missing, codec)
    limit = case.limit_bytes
    return {
        "name": case.name,
        "kind": case.diff.kind,
        "n": case.size,
        "changes": case.changes,
        "density": case.changes / case.size,
        "levels": case.levels,
        "note": case.note,
        "bytes": len(payload),
        "limit_bytes": limit,
        "ratio_to_limit": limit and len(payload) / limit,
        "bytes_per_change": len(payload) / max(1, case.changes),
        "header_bytes": header_bytes(payload),
        "seconds_encode": round(encoded - start, 3),
        "seconds_decode": round(decoded - encoded, 3),
        "peers": sizes,
        "peers_left_out": left_out,
    }


def header_bytes(payload: bytes) -> int:
    """Return the bytes that are neither positions nor values: the fixed header and the records."""
    records: int = _SECTIONS.unpack_from(payload)[0]
    return _SECTIONS.size + records


def same(left: Diff, right: Diff) -> bool:
    """Tell whether two diffs are equal, stream by stream; an empty stream differs from None."""
    facts = [(diff.kind, diff.alpha, diff.beta, diff.seed) for diff in (left, right)]
    return facts[0] == facts[1] and all(map(_same_stream, left.streams, right.streams))


def _same_stream(left: Stream | None, right: Stream | None) -> bool:
    if isinstance(left, Sparse) and isinstance(right, Sparse):
        equal = np.array_equal(left.positions, right.positions) and np.array_equal(left.levels, right.levels)
        return equal and (left.step, left.exponent) == (right.step, right.exponent)
    if isinstance(left, Hashed) and isinstance(right, Hashed):
        return np.array_equal(left.levels, right.levels) and (left.step, left.exponent) == (right.step, right.exponent)
    if isinstance(left, Exact) and isinstance(right, Exact):
        return np.array_equal(left.positions, right.positions) and np.array_equal(left.deltas, right.deltas)
    return left is None and right is None


def _peers(case: Case, missing: Reasons, codec: nnc.Codec) -> tuple[dict[str, int], Reasons]:
    left_out: Reasons = {**missing, **case.left_out}
    reason = layouts.unfit(case)
    sizes = {} if reason else layouts.sizes(case)
    if reason:
        left_out["int32 + …, gaps + …"] = reason
    if case.diff.kind != "sparse":
        left_out[nnc.NAME] = f"for sparse cases; this one is {case.diff.kind}"
    if nnc.NAME not in left_out:
        _print_progress(nnc.NAME)
        size = codec.size(case)
        if size is None:
            raise Mismatch(f"{case.name}: {nnc.NAME} does not give back the levels")
        sizes[nnc.NAME] = size
    if case.weights is None:
        left_out |= {peer.name: "the case has no weights" for peer in peers.BYTE_LEVEL}
    chosen = [peer for peer in peers.BYTE_LEVEL if peer.name not in left_out]
    return sizes | dict(_byte_level(case, chosen)), left_out


def _byte_level(case: Case, chosen: list[peers.Peer]) -> Iterator[tuple[str, int]]:
    """Yield the length of every peer's patch, after it has restored the new file; raises Mismatch."""
    if not chosen or case.weights is None:
        return
    with TemporaryDirectory() as name:
        old, new, patch, out = (Path(name) / file for file in ("old", "new", "patch", "out"))
        write_raw(old, case.weights)
        write_raw(new, case.new_weights())
        for peer in chosen:
            _print_progress(peer.name)
            peer.make(old, new, patch)
            peers.run(peer.restore_command(old, patch, out))
            if not filecmp.cmp(new, out, shallow=False):
                raise Mismatch(f"{case.name}: {peer.name} does not restore the new weights")
            yield peer.name, patch.stat().st_size


def _print_progress(name: str) -> None:
    print(f"  {name}", file=sys.stderr)
