"""Tensors that are read part by part, so that one as large as its model takes no more memory than a chunk of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from diffclient.diff.streams import chunks
from diffclient.tensors import arithmetic, float_bits
from diffclient.tensors.snapshot import Array, TensorSpec


class Weights(Protocol):
    """Tensors that can be read by name, as a whole or part by part."""

    def read(self, name: str) -> Array:
        """Return one tensor in its shape."""

    def part(self, name: str, start: int, stop: int) -> Array:
        """Return one tensor from position `start` up to `stop`, flat."""


class Flat(Protocol):
    """A tensor's numbers, flat; arrays are such, too."""

    def __getitem__(self, part: slice, /) -> Array:
        """Return the numbers of a part."""


@dataclass(frozen=True, eq=False)
class Derived:
    """A tensor's numbers, read from a file or converted whenever a part is asked for."""

    read: Callable[[int, int], Array]
    """Return the numbers from one position up to another."""

    def __getitem__(self, part: slice, /) -> Array:
        """Return the numbers of a part."""
        return self.read(part.start, part.stop)

    def converted(self, convert: Callable[[Array], Array]) -> Derived:
        """Return what a function makes of the numbers."""
        return Derived(lambda start, stop: convert(self.read(start, stop)))


def tensor_of(weights: Weights, name: str) -> Derived:
    """Return one tensor, of which nothing is read yet."""
    return Derived(partial(weights.part, name))


def from_units(units: Flat, grid: int) -> Derived:
    """Return weights on a grid as fp32."""
    return Derived(lambda start, stop: arithmetic.from_grid(units[start:stop], grid))


def pieces(size: int, *tensors: Flat) -> Iterator[tuple[Array, ...]]:
    """Yield equally long tensors side by side, chunk by chunk."""
    for start, stop in chunks(size):
        yield tuple(tensor[start:stop] for tensor in tensors)


def finite(spec: TensorSpec, weights: Flat) -> bool:
    """Tell whether a tensor holds no infinity or NaN."""
    return spec.dtype not in float_bits.EXPONENTS or all(
        float_bits.finite(piece, spec.dtype) for (piece,) in pieces(spec.size, weights)
    )


def largest(size: int, weights: Flat) -> float:
    """Return the size of the largest weight, 0 if there is none; NaN if one is."""
    return float(np.max([np.max(np.abs(piece)) for (piece,) in pieces(size, weights)], initial=0.0))


def choose_grid(size: int, weights: Flat) -> int | None:
    """Return what `arithmetic.choose_grid` does for the whole tensor."""
    if size <= arithmetic.SMALL_TENSOR:
        return arithmetic.choose_grid(weights[0:size])
    return arithmetic.finest_grid(largest(size, weights))
