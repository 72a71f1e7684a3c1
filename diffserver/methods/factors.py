"""Low-rank factors as bytes: fp16 numbers through the best of three lossless coders.

Sizes are those of real bytes, none is estimated, and the bytes are unpacked again before the factors are used.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import zstandard

from diffclient.diff.streams import Diff, Exact
from diffclient.payload.decode import decode
from diffclient.payload.encode import encode
from diffclient.tensors import ordinals
from diffclient.tensors.snapshot import TensorSpec

Halves = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float32]

_LEVEL = 19
_ANY_PARENT = "0" * 64


@dataclass(frozen=True, eq=False)
class Factors:
    """A matrix as a product: left float32 `[rows, rank]`, right float32 `[rank, columns]`."""

    left: Floats
    right: Floats

    @property
    def rank(self) -> int:
        """The number of components."""
        return int(self.left.shape[1])

    @property
    def product(self) -> Floats:
        """The matrix, `[rows, columns]`."""
        return np.asarray(self.left @ self.right, np.float32)

    def without(self, component: int) -> Factors:
        """Return the factors of all other components."""
        return Factors(np.delete(self.left, component, axis=1), np.delete(self.right, component, axis=0))


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return a weight's shape as rows (its first axis) and columns (all others)."""
    return shape[0], int(np.prod(shape[1:]))


def is_matrix(shape: Sequence[int]) -> bool:
    """Tell whether a weight of this shape has a rank beyond 1."""
    return len(shape) > 1 and min(matrix_shape(shape)) > 1


def pack(matrices: Mapping[str, Factors], dense: Sequence[Floats] = ()) -> bytes:
    """Return ranks, factors and dense arrays as bytes, without names and shapes, which the receiver has."""
    ranks = struct.pack(f"<{len(matrices)}H", *(factors.rank for factors in matrices.values()))
    arrays = [side for factors in matrices.values() for side in (factors.left, factors.right)]
    return ranks + _smallest(np.concatenate([array.ravel() for array in (*arrays, *dense)]))


def unpack(
    data: bytes, matrices: Mapping[str, tuple[int, int]], dense: Sequence[tuple[int, ...]] = ()
) -> tuple[dict[str, Factors], list[Floats]]:
    """Return the factors and arrays that `pack` packed, rounded to fp16; `matrices` are the shapes by name."""
    ranks = struct.unpack_from(f"<{len(matrices)}H", data)
    flat = _numbers(data[2 * len(matrices) :]).astype(np.float32)
    sides = [((rows, rank), (rank, columns)) for rank, (rows, columns) in zip(ranks, matrices.values(), strict=True)]
    shapes = [shape for pair in sides for shape in pair]
    ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in (*shapes, *dense)])
    parts = [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), (*shapes, *dense), strict=True)]
    factors = [Factors(*parts[index : index + 2]) for index in range(0, len(shapes), 2)]
    return dict(zip(matrices, factors, strict=True)), parts[len(shapes) :]


def _smallest(numbers: npt.NDArray[np.floating]) -> bytes:
    """Return the shortest coding of fp16 numbers: zstd, zstd of upper and lower bytes apart, or an exact diff."""
    halves = (numbers.astype(np.float16) + np.float16(0)).astype("<f2")  # + 0: no minus zero
    planes = halves.view(np.uint8).reshape(-1, 2).T.tobytes()
    squeeze = zstandard.ZstdCompressor(level=_LEVEL).compress
    coded = [b"\0" + squeeze(halves.tobytes()), b"\1" + squeeze(planes), b"\2" + _as_diff(halves)]
    return struct.pack("<I", len(halves)) + min(coded, key=len)


def _numbers(data: bytes) -> Halves:
    (count,), coder = struct.unpack_from("<I", data), data[4]
    if coder == 2:
        return _from_diff(data[5:], count)
    raw = np.frombuffer(zstandard.ZstdDecompressor().decompress(data[5:]), np.uint8)
    return (raw.reshape(2, -1).T.copy() if coder else raw.copy()).view("<f2").ravel()


def _table(count: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec("factors", (count,), "F16", None),)


def _as_diff(halves: Halves) -> bytes:
    """Return the payload of an exact diff from zeros."""
    deltas = ordinals.subtract(halves, np.zeros_like(halves), "F16")
    positions = np.flatnonzero(deltas)
    stream = Exact(positions, deltas[positions]) if positions.size else None
    return encode(Diff("exact", (stream,)), _table(len(halves)), _ANY_PARENT)


def _from_diff(data: bytes, count: int) -> Halves:
    halves = np.zeros(count, np.float16)
    (stream,) = decode(data, _table(count), _ANY_PARENT).streams
    if isinstance(stream, Exact):
        halves[stream.positions] = ordinals.add(halves[stream.positions], stream.deltas, "F16")
    return halves
