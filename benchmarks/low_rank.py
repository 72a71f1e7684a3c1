"""Measure what a payload kind for low-rank changes would save, and what a device would pay for it.

The model is twelve matrices of 384 × 384 on their grids, changed by merged adapters of rank 8: `python -m
benchmarks.low_rank`. The factors of the change are quantised, multiplied in integers and rounded to grid units, so
every device would get the same bits. They are compared with the rounded fp32 weights, with today's exact and sparse
diffs, and with adapters that stay tensors of their own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import machine
from diffclient.diff.streams import Diff, Exact, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.snapshot import fp32_bytes
from diffclient.tensors.tensor_table import Table, TensorSpec
from diffserver.checkpoints import nearest_sparse
from diffserver.checkpoints.changes import Change, exact

MATRICES, SIDE, RANK = 12, 384, 8
SPREAD = 0.05
"""The standard deviation of the parent's weights."""

RATIOS = (0.02, 0.2)
"""The standard deviation of the change, as a share of the weights'."""

BITS = (8, 10, 12, 16, 20, 24)
COUNTED = 8
"""The highest bits of a factor, whose frequencies are worth a table."""

Floats = npt.NDArray[np.float64]
Units = npt.NDArray[np.int64]


def changes(ratio: float, rng: np.random.Generator) -> list[Change]:
    """Return the matrices before and after an adapter was merged into them in fp32, in grid units."""
    made = []
    for number in range(MATRICES):
        drawn = rng.normal(0, SPREAD, SIDE * SIDE).astype(np.float32)
        grid = arithmetic.choose_grid(drawn)
        assert grid is not None
        old = arithmetic.round_to_grid(drawn, grid)
        left, right = rng.normal(size=(SIDE, RANK)), rng.normal(size=(RANK, SIDE))
        merged = (ratio * SPREAD / np.sqrt(RANK) * (left @ right)).astype(np.float32).reshape(-1)
        new = arithmetic.round_to_grid(arithmetic.from_grid(old, grid) + merged, grid)
        made.append(Change(TensorSpec(f"{number}.weight", (SIDE, SIDE), "F32", grid), old, new))
    return made


def factors(change: Change) -> tuple[Floats, Floats]:
    """Return the factors of a change in grid units, equally large; what was merged has this rank, but for noise."""
    delta = (change.new.astype(np.float64) - change.old).reshape(SIDE, SIDE)
    left, sizes, right = np.linalg.svd(delta)
    roots = np.sqrt(sizes[:RANK])
    return left[:, :RANK] * roots, roots[:, None] * right[:RANK]


def quantise(values: Floats, bits: int) -> tuple[Units, int]:
    """Return whole numbers of so many bits, the sign included, and the exponent of their step 2^-e."""
    exponent = bits - 1 - int(np.ceil(np.log2(np.abs(values).max() + 1e-300)))
    most = 2 ** (bits - 1) - 1
    return np.clip(np.rint(np.ldexp(values, exponent)), -most, most).astype(np.int64), exponent


def product(left: Units, right: Units, shift: int) -> Units:
    """Return the product in integers, divided by 2^shift and rounded half to even."""
    whole: Units = left @ right
    if shift <= 0:
        return whole << -shift
    down = whole >> shift
    rest, half = whole - (down << shift), 1 << (shift - 1)
    return np.where((rest > half) | ((rest == half) & (down & 1 == 1)), down + 1, down)


def entropy_bytes(values: Units, plain_bits: int = 0) -> float:
    """Return the bytes that an ideal coder of independent symbols takes; so many lowest bits stay as they are."""
    _, counts = np.unique(values >> plain_bits, return_counts=True)
    return (float(counts @ np.log2(values.size / counts)) + values.size * plain_bits) / 8


def low_rank(changed: Sequence[Change], bits: int) -> dict[str, Any]:
    """Return the figures of factors of so many bits."""
    size, residuals, squares, wanted, largest = 0.0, [], 0.0, 0.0, 0
    for change in changed:
        (left, down), (right, up) = (quantise(part, bits) for part in factors(change))
        delta = change.new.astype(np.int64) - change.old
        residual = delta - product(left, right, down + up).reshape(-1)
        size += sum(entropy_bytes(part, bits - COUNTED) for part in (left, right))
        residuals.append(residual)
        squares, wanted = squares + float(residual @ residual), wanted + float(delta @ delta)
        largest = max(largest, int(np.abs(residual).max()))
    rest = np.concatenate(residuals)
    return {
        "bits": bits,
        "bytes": round(size),
        "error_share": (squares / wanted) ** 0.5,
        "most_units": largest,
        "equal_share": float(np.mean(rest == 0)),
        "bytes_to_exact": round(entropy_bytes(rest)),
    }


def sparse(changed: Sequence[Change], limit: int) -> dict[str, Any]:
    """Return the figures of the nearest sparse diff of so many bytes."""
    diff = nearest_sparse.sparse(changed, limit)
    squares = wanted = 0.0
    for change, stream in zip(changed, diff.streams, strict=True):
        delta = change.new.astype(np.float64) - change.old
        wanted += float(delta @ delta)
        if stream is not None:
            assert isinstance(stream, Sparse)
            delta[stream.positions] -= stream.levels * float(stream.step)
        squares += float(delta @ delta)
    return {"bytes": payload_length(diff, table_of(changed)), "error_share": (squares / wanted) ** 0.5}


def apart(changed: Sequence[Change], dtype: str) -> int:
    """Return the bytes of an exact diff that sets adapters which are tensors of their own, from zero."""
    specs: list[TensorSpec] = []
    streams = []
    for part in (np.ldexp(part, -(change.spec.grid or 0) // 2) for change in changed for part in factors(change)):
        grid, deltas = _from_zero(part.reshape(-1), dtype)
        positions = np.flatnonzero(deltas)
        specs.append(TensorSpec(f"{len(specs):03}", part.shape, dtype, grid))
        streams.append(Exact(positions, deltas[positions]))
    return payload_length(Diff("exact", tuple(streams)), tuple(specs))


def _from_zero(weights: Floats, dtype: str) -> tuple[int | None, Units]:
    """Return the grid of an adapter, and the steps that lead to it from zero; fp16 has no grid."""
    if dtype == "F16":
        halves = weights.astype(np.float16)
        return None, ordinals.subtract(halves, np.zeros_like(halves), dtype)
    single = weights.astype(np.float32)
    grid = arithmetic.choose_grid(single)
    assert grid is not None
    return grid, arithmetic.round_to_grid(single, grid).astype(np.int64)


def table_of(changed: Sequence[Change]) -> Table:
    """Return the model's table."""
    return tuple(change.spec for change in changed)


def seconds(rows: int = 2730) -> dict[str, float]:
    """Return nanoseconds a weight for a chunk of a million weights: products in int64, and in float64 below 2^53."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(-32767, 32768, (rows, RANK)), rng.integers(-32767, 32768, (RANK, SIDE))
    plain, figures = (left.astype(np.float64), right.astype(np.float64)), {}
    for name, parts in (("int64", (left, right)), ("float64", plain)):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            found = parts[0] @ parts[1]
            times.append(time.perf_counter() - began)
        assert np.array_equal(found, left @ right), "both are exact"
        figures[name] = 1e9 * min(times) / found.size
    return figures


def main() -> None:
    """Print the figures, and write them as JSON if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    runs = []
    for ratio in RATIOS:
        changed = changes(ratio, np.random.default_rng(1))
        table = table_of(changed)
        by_bits = [low_rank(changed, bits) for bits in BITS]
        limits = {row["bytes"] for row in by_bits if row["bits"] in (8, 16)} | {fp32_bytes(table) // 4}
        runs.append(
            {
                "ratio": ratio,
                "fp32_bytes": fp32_bytes(table),
                "exact_bytes": payload_length(exact(changed), table),
                "low_rank": by_bits,
                "sparse": [sparse(changed, limit) for limit in sorted(limits)],
                "adapters_apart": {dtype: apart(changed, dtype) for dtype in ("F32", "F16")},
            }
        )
    result = {"machine": machine.describe(), "nanoseconds_a_weight": seconds(), "runs": runs}
    text = json.dumps(result, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
