"""A diff as a value: per tensor of the parent's table, what is added to its weights.

Tensors are cut into chunks, so that applying a diff takes memory for a chunk and not for a tensor. Writing a diff as
bytes is left to `encode` and `decode`, applying it to `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from diffclient.diff import bucket_hash
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.snapshot import Table, TensorSpec

Kind = Literal["sparse", "hashed", "exact"]

Positions = npt.NDArray[np.int64]
Values = npt.NDArray[np.int64]
Levels = npt.NDArray[np.int32]

CHUNK = 1_048_320
"""Weights of a chunk, the last of a tensor being shorter: about 2^20, and whole blocks (`block_classes`)."""


Part = tuple[Positions, Values]
"""The changes from one position of a tensor up to another: places, counted from there, and levels or deltas."""


@dataclass(frozen=True, eq=False)
class Sparse:
    """Some positions of one tensor change: at positions[i] the value is levels[i] × step."""

    positions: Positions
    """int64[k], flat (C order), strictly increasing."""
    levels: Levels
    """int32[k], never 0."""
    step: int
    """Grid units a level."""
    exponent: int | None = None
    """In F16 and BF16 tensors, which have no grid, a unit is 2^-exponent."""

    def part(self, start: int, stop: int) -> Part:
        """Return the changes from position `start` up to `stop`."""
        return _part(self.positions, self.levels, start, stop)


@dataclass(frozen=True, eq=False)
class Hashed:
    """Every position of one tensor changes by the value of its bucket, times its sign."""

    levels: Levels
    """int32[m], one a bucket."""
    step: int
    """Grid units a level."""
    exponent: int | None = None
    """In F16 and BF16 tensors, which have no grid, a unit is 2^-exponent."""


@dataclass(frozen=True, eq=False)
class Exact:
    """Some positions of one tensor get exact new weights: deltas[i] is added to the ordinal at positions[i]."""

    positions: Positions
    """int64[k], flat (C order), strictly increasing."""
    deltas: Values
    """int64[k], never 0: differences of `ordinals`, or of grid units where there is a grid (the new one, if it is)."""
    alpha: int = ONE
    """16.16 fixed-point factor, 0 to 1, by which all weights of a tensor that `may_scale` are scaled first."""

    def part(self, start: int, stop: int) -> Part:
        """Return the changes from position `start` up to `stop`."""
        return _part(self.positions, self.deltas, start, stop)


@dataclass(frozen=True, eq=False)
class Computed:
    """An exact stream whose deltas are computed whenever a part is asked for, so that none are held."""

    size: int
    """The tensor's weights."""
    compute: Callable[[int, int], npt.NDArray[np.signedinteger[Any]]]
    """Return the deltas from one position up to another, 0 where nothing changes."""
    alpha: int = ONE
    """As in `Exact`."""

    def part(self, start: int, stop: int) -> Part:
        """Return the changes from position `start` up to `stop`."""
        deltas = self.compute(start, stop)
        places = np.flatnonzero(deltas)
        return places, deltas[places].astype(np.int64, copy=False)


Positioned = Sparse | Exact | Computed
Stream = Positioned | Hashed


Grids = Mapping[int, int | None]
"""For the numbers of some tensors, the exponent of the new and coarser grid; None takes the tensor off the grid."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The changes of one chunk of one tensor."""

    positions: Positions | None
    """int64[k] within the chunk, strictly increasing; None: every weight of the chunk."""
    values: npt.NDArray[np.signedinteger[Any]]
    """int32[k] or int64[k]: grid units, units of 2^-exponent, or differences of ordinals."""
    exponent: int | None = None


class Source(Protocol):
    """A diff that can be read chunk by chunk: a `Diff`, or a payload as it is decoded."""

    @property
    def kind(self) -> Kind:
        """The rule by which values change weights."""

    @property
    def alpha(self) -> int:
        """16.16 fixed-point factor of the weights, in tensors that have a stream."""

    @property
    def beta(self) -> int:
        """16.16 fixed-point factor of the values."""

    @property
    def grids(self) -> Grids:
        """New grids for tensors that leave theirs; only exact diffs have some."""

    @property
    def nonfinite(self) -> bool:
        """Whether weights off the grid may become infinite or NaN; only exact diffs may say so."""

    def touches(self, tensor: int) -> bool:
        """Tell whether tensor number `tensor` has a stream."""

    def first_scaled(self, tensor: int) -> int:
        """Return the 16.16 fixed-point factor by which exact scales a tensor's weights before it adds anything."""

    def pieces(self, table: Table) -> Iterator[Piece | None]:
        """Yield a piece for every chunk of every tensor, in order; None where nothing is added.

        Raises PayloadError when decoding reaches an error of a payload.
        """


@dataclass(frozen=True, eq=False)
class Diff:
    """The change from a parent to another version: alpha × weights + beta × values, tensor by tensor."""

    kind: Kind
    streams: tuple[Stream | None, ...]
    """One a tensor, in the table's order; None leaves the tensor as it is."""
    alpha: int = ONE
    """16.16 fixed-point factor of the weights, in tensors that have a stream."""
    beta: int = ONE
    """16.16 fixed-point factor of the values."""
    seed: int = 0
    """Seed of the bucket hash (32 bits)."""
    grids: Grids = field(default_factory=dict)
    """New grids for tensors that have a stream and leave their grid, in exact."""
    nonfinite: bool = False
    """Whether weights off the grid may become infinite or NaN, in exact."""

    @property
    def carried(self) -> int:
        """The number of values that the payload carries: changed weights, or buckets."""
        return sum(len(numbers(stream)) for stream in self.streams if stream is not None)

    def touches(self, tensor: int) -> bool:
        """Tell whether tensor number `tensor` has a stream."""
        return self.streams[tensor] is not None

    def first_scaled(self, tensor: int) -> int:
        """Return the 16.16 fixed-point factor by which exact scales a tensor's weights before it adds anything."""
        stream = self.streams[tensor]
        return stream.alpha if isinstance(stream, Exact | Computed) else ONE

    def pieces(self, table: Table) -> Iterator[Piece | None]:
        """Yield a piece for every chunk of every tensor, in order; None where nothing is added."""
        for index, (spec, stream) in enumerate(zip(table, self.streams, strict=True)):
            if stream is None:
                yield from (None for _ in chunks(spec.size))
            elif isinstance(stream, Hashed):
                yield from spread(stream, self.seed, index, spec)
            else:
                yield from _cut(stream, spec.size)


def may_scale(spec: TensorSpec) -> bool:
    """Tell whether an exact diff may scale the tensor's weights, which are integers then."""
    return spec.grid is not None or spec.dtype == "I8"


def numbers(stream: Stream) -> Values:
    """Return a stream's levels or deltas."""
    if isinstance(stream, Computed):
        return np.concatenate([np.empty(0, np.int64), *(stream.part(*chunk)[1] for chunk in chunks(stream.size))])
    return stream.deltas if isinstance(stream, Exact) else stream.levels.astype(np.int64)


def chunks(size: int) -> Iterator[tuple[int, int]]:
    """Yield where each chunk of a tensor of `size` weights begins and ends."""
    for start in range(0, size, CHUNK):
        yield start, min(start + CHUNK, size)


def spread(stream: Hashed, seed: int, tensor: int, spec: TensorSpec) -> Iterator[Piece]:
    """Yield, chunk by chunk, every weight's bucket value for tensor number `tensor`."""
    largest = max(int(np.max(stream.levels)), -int(np.min(stream.levels)))
    # One more below zero than above, so that every level has its negative.
    levels = stream.levels.astype(np.min_scalar_type(-largest - 1))
    width = np.int32 if largest * stream.step < 1 << 31 else np.int64
    for start, stop in chunks(spec.size):
        signed = bucket_hash.spread(levels, seed, tensor, start, stop)
        yield Piece(None, np.multiply(signed, stream.step, dtype=width), stream.exponent)


def _cut(stream: Positioned, size: int) -> Iterator[Piece | None]:
    step, exponent = (stream.step, stream.exponent) if isinstance(stream, Sparse) else (1, None)
    for start, stop in chunks(size):
        places, values = stream.part(start, stop)
        yield Piece(places, values * step, exponent) if len(places) else None


def _part(positions: Positions, values: npt.NDArray[Any], start: int, stop: int) -> Part:
    first, last = np.searchsorted(positions, (start, stop))
    return positions[first:last] - start, values[first:last].astype(np.int64)
