"""Make a model and diffs from seeds, and the digests that applying them must give.

The digests are computed on whole tensors in int64, by the formulas of docs/format.md and not by the client's code.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Diff, Hashed, Sparse, Stream
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Snapshot, Table, TensorSpec, digest, write_snapshot

Ints = npt.NDArray[np.int64]

GRID = 21
DENSITY = 0.01
HASHED_SHARE = 0.01
BITS_A_BUCKET = 3.2
"""Approximate bits of a level in a payload, by which the number of buckets is chosen."""
TOP = 7
"""The largest level of 15."""
STEP = 700
CHAIN = 5


def table_of(tensors: int, tensor_mb: int) -> Table:
    """Return the table of a model of equal square-ish fp32 tensors of `tensor_mb` × 2^20 bytes."""
    return tuple(TensorSpec(f"layer.{n:03}", (tensor_mb << 8, 1 << 10), "F32", GRID) for n in range(tensors))


def units_of(table: Table) -> Iterator[Ints]:
    """Yield every tensor's weights in grid units, flat."""
    for number, spec in enumerate(table):
        normal = np.random.default_rng([1, number]).standard_normal(spec.size, np.float32)
        yield np.clip(np.rint(normal * (1 << 18)), -(1 << 21), 1 << 21).astype(np.int64)


def levels_of(rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
    """Draw Gaussian levels without zeros."""
    drawn = np.clip(np.rint(rng.standard_normal(count, np.float32) * TOP / 2.5), -TOP, TOP).astype(np.int32)
    return np.where(drawn == 0, 1, drawn)


def sparse(spec: TensorSpec, number: int, seed: int) -> Sparse:
    """Return uniform positions and Gaussian levels for one tensor."""
    rng = np.random.default_rng([2, seed, number])
    positions = np.flatnonzero(rng.random(spec.size, np.float32) < DENSITY)
    return Sparse(positions, levels_of(rng, len(positions)), STEP)


def hashed(spec: TensorSpec, number: int, seed: int) -> Hashed:
    """Return buckets for one tensor that take HASHED_SHARE of its bytes."""
    rng = np.random.default_rng([3, seed, number])
    return Hashed(levels_of(rng, int(spec.nbytes * 8 * HASHED_SHARE / BITS_A_BUCKET)), STEP)


def cases(table: Table) -> dict[str, list[Diff]]:
    """Return the chains to measure, by name."""

    def sparse_diff(seed: int) -> Diff:
        return Diff("sparse", tuple(sparse(spec, number, seed) for number, spec in enumerate(table)))

    streams: tuple[Stream, ...] = tuple(hashed(spec, number, 9) for number, spec in enumerate(table))
    return {
        "sparse 1 %": [sparse_diff(0)],
        "hashed 1 %": [Diff("hashed", streams, seed=2021)],
        f"chain of {CHAIN} sparse 1 %": [sparse_diff(seed) for seed in range(1, CHAIN + 1)],
    }


def mix(x: Ints) -> Ints:
    """Return lowbias32 of 32-bit numbers, in 64 bits."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = (x ^ (x >> shift)) * factor & 0xFFFFFFFF
    return x


def added(diff: Diff, number: int, spec: TensorSpec) -> Ints:
    """Return the values that a diff adds to the weights of one tensor, in grid units."""
    stream, values = diff.streams[number], np.zeros(spec.size, np.int64)
    if isinstance(stream, Sparse):
        values[stream.positions] = stream.levels.astype(np.int64) * stream.step
    elif isinstance(stream, Hashed):
        key = mix(mix(np.array([number + 0x9E3779B9 & 0xFFFFFFFF])) ^ diff.seed)
        h = mix(np.arange(spec.size) ^ key)
        values = stream.levels[(h >> 1) * len(stream.levels) >> 31] * (1 - 2 * (h & 1)) * stream.step
    return values


def digests(table: Table, chain: list[Diff]) -> list[str]:
    """Return the digest after each diff of a chain."""
    hashes: list[list[bytes]] = [[] for _ in chain]
    for number, (spec, units) in enumerate(zip(table, units_of(table), strict=True)):
        for diff, diff_hashes in zip(chain, hashes, strict=True):
            units = units + added(diff, number, spec)
            diff_hashes.append(hashlib.sha256((units / 2.0**GRID).astype("<f4").data).digest())
    return [digest(table, diff_hashes) for diff_hashes in hashes]


def write(folder: Path, tensors: int, tensor_mb: int) -> dict[str, Any]:
    """Write parent and payloads; return their paths, and for every case its steps and the expected digest."""
    table, parent = table_of(tensors, tensor_mb), folder / "parent.safetensors"
    weights = ((units / 2.0**GRID).astype("<f4").reshape(-1, 1 << 10) for units in units_of(table))
    start = write_snapshot(parent, table, weights)
    assert Snapshot(parent).digest() == start
    facts: dict[str, Any] = {"parent": str(parent), "bytes": parent.stat().st_size, "cases": []}
    for name, chain in cases(table).items():
        after = digests(table, chain)
        steps = []
        for number, (diff, before) in enumerate(zip(chain, [start, *after[:-1]], strict=True)):
            path = folder / f"{name.split()[0]}-{number}.ndiff"
            path.write_bytes(encode(diff, table, before))
            steps.append(f"{path}={before}")
            print(f"  {path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)
        facts["cases"].append({"name": name, "steps": steps, "digest": after[-1]})
    return facts


if __name__ == "__main__":
    print(json.dumps(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
