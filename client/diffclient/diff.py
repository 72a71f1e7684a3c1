"""A diff as a value: per tensor of the parent's table, what is added to its weights, in grid units.

How a diff is written as bytes is `payload`'s, how it meets the weights is `apply`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from diffclient import buckets
from diffclient.arithmetic import ONE, Ints

Kind = Literal["sparse", "hashed"]


@dataclass(frozen=True, eq=False)
class Sparse:
    """Some positions of one tensor change: at positions[i] the value is levels[i] × step."""

    positions: npt.NDArray[np.int64]
    """int64[k], flat (C order), strictly increasing."""
    levels: npt.NDArray[np.int16]
    """int16[k], from -128 to 128, never 0."""
    step: int
    """Grid units a level."""


@dataclass(frozen=True, eq=False)
class Hashed:
    """Every position of one tensor changes by the value of its bucket, times its sign."""

    levels: npt.NDArray[np.int16]
    """int16[m], one a bucket, from -127 to 127."""
    step: int
    """Grid units a level."""


Stream = Sparse | Hashed


@dataclass(frozen=True, eq=False)
class Diff:
    """What turns a parent into another version: alpha × weights + beta × values, tensor by tensor."""

    kind: Kind
    streams: tuple[Stream | None, ...]
    """One a tensor, in the table's order; None leaves the tensor as it is."""
    alpha: int = ONE
    """16.16 fixed-point factor of the weights, in tensors that have a stream."""
    beta: int = ONE
    """16.16 fixed-point factor of the values."""
    seed: int = 0
    """Seed of the bucket hash (32 bits)."""

    @property
    def carried(self) -> int:
        """The number of values that the payload carries: changed weights, or buckets."""
        return sum(len(stream.levels) for stream in self.streams if stream is not None)


def values(diff: Diff, tensor: int, size: int) -> Ints | None:
    """Return what tensor number `tensor` of `size` weights changes by: int32[size] in grid units, or None."""
    stream = diff.streams[tensor]
    if stream is None:
        return None
    scaled = stream.levels.astype(np.int32) * np.int32(stream.step)
    if isinstance(stream, Sparse):
        dense = np.zeros(size, np.int32)
        dense[stream.positions] = scaled
        return dense
    bucket, sign = buckets.assign(diff.seed, tensor, size, len(scaled))
    return scaled[bucket] * sign
