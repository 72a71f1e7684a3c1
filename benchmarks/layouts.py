"""Layouts of positions and values of other systems, written from their descriptions, for comparison with payloads.

They carry the new weights as fp16, as the systems that use them do for half-precision models; or, in the layouts' best
case, our quantised levels in one byte with a step for each tensor, which loses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from benchmarks.cases import Case
from diffclient.diff.streams import Exact, Sparse, Stream
from diffclient.tensors.snapshot import TensorSpec

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]

LEVEL = 19
MOST_CHANGES = 1_000_000
"""The most changes for which zstd at this level takes less than minutes."""
SETTINGS = {
    "int32 + {}": "int32 position in the model and value, nothing compressed",
    "int32 + {}, zstd": f"the same; positions and values each under zstd level {LEVEL}",
    "gaps + {}, zstd": f"row gaps and column gaps (whichever is smaller: bytes with 255 as escape, or two bytes), "
    f"values; each under zstd level {LEVEL} (as PULSE does with level 1)",
}


def unfit(case: Case) -> str | None:
    """Return why no layout is tried on the case; None if all are."""
    if case.diff.kind == "hashed":
        return "every weight changes"
    return f"slow with more than {MOST_CHANGES:,} changes" if case.changes > MOST_CHANGES else None


def sizes(case: Case) -> dict[str, int]:
    """Return the bytes of every layout that can carry the case's diff, which must be sparse or exact."""
    sizes_by_layout: dict[str, int] = {}
    for name, values in _values(case).items():
        sizes_by_layout |= _layouts(name, case, values)
    return sizes_by_layout


def _layouts(name: str, case: Case, values: Numbers) -> dict[str, int]:
    positions = np.concatenate([places for _, places in _flat(case)]).astype("<i4")
    assert len(positions) == len(values)
    steps = 4 * sum(stream is not None for stream in case.diff.streams) if name == "levels" else 0
    rows, columns = _gaps(case)
    packed = packed_size(values) + steps
    lengths = (
        positions.nbytes + values.nbytes + steps,
        packed_size(positions) + packed,
        smallest(rows) + smallest(columns) + packed,
    )
    return {layout.format(name): size for layout, size in zip(SETTINGS, lengths, strict=True)}


def _values(case: Case) -> dict[str, Numbers]:
    """Return the values that a layout can carry, by name: new weights, levels."""
    values = {}
    if case.weights is not None:
        arrays = case.new_weights()
        new = np.concatenate([arrays[index].reshape(-1)[stream.positions] for index, stream in _positioned(case)])
        # Half precision and arbitrary bits are carried as they are.
        values["fp16" if case.diff.kind == "sparse" else "bits"] = new if case.diff.kind == "exact" else to_fp16(new)
    if case.diff.kind == "sparse":
        values["levels"] = np.concatenate([s.levels for _, s in _positioned(case) if isinstance(s, Sparse)]).astype(
            "i1"
        )
    return values


def to_fp16(weights: Numbers) -> Numbers:
    """Round weights to fp16."""
    return weights.astype("<f2")


def _positioned(case: Case) -> Iterator[tuple[int, Sparse | Exact]]:
    for index, stream in enumerate(case.diff.streams):
        if isinstance(stream, Sparse | Exact):
            yield index, stream


def _flat(case: Case) -> Iterator[tuple[TensorSpec, Integers]]:
    """Yield positions in the whole model, tensor by tensor."""
    start = 0
    for spec, stream in zip(case.table, case.diff.streams, strict=True):
        yield spec, _places(stream) + start
        start += spec.size


def _places(stream: Stream | None) -> Integers:
    return stream.positions if isinstance(stream, Sparse | Exact) else np.empty(0, np.int64)


def _gaps(case: Case) -> tuple[Integers, Integers]:
    """Return row gaps and column gaps; columns count from the change before in the row, or from the row's start."""
    parts = []
    for spec, stream in zip(case.table, case.diff.streams, strict=True):
        width = spec.size // (spec.shape[0] if spec.shape else 1)
        row, column = np.divmod(_places(stream), max(1, width if len(spec.shape) > 1 else spec.size))
        down = np.diff(row, prepend=0)
        parts.append((down, np.where(down == 0, np.diff(column, prepend=0), column)))
    rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rows, columns


def in_bytes(gaps: Integers) -> npt.NDArray[np.uint8]:
    """Return gaps as bytes: 255 adds 255 and continues, any other byte ends a gap."""
    escapes = gaps // 255
    ends = np.cumsum(escapes + 1) - 1
    packed = np.full(int(ends[-1]) + 1 if len(ends) else 0, 255, np.uint8)
    packed[ends] = gaps % 255
    return packed


def smallest(gaps: Integers) -> int:
    """Return the bytes of gaps under zstd, in the smaller of two widths."""
    forms = [in_bytes(gaps)] + ([gaps.astype("<u2")] if gaps.size and gaps.max() < 1 << 16 else [])
    return min(packed_size(form) for form in forms)


def packed_size(numbers: Numbers) -> int:
    """Return the bytes of numbers under zstd."""
    threads = len(os.sched_getaffinity(0))
    return len(zstandard.ZstdCompressor(level=LEVEL, threads=threads).compress(numbers.tobytes()))
