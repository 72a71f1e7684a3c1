"""Enter a checkpoint's tensors into the grids of a new line of versions, part by part.

`enter_grid` of the client does the same with arrays in memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from functools import partial

from diffclient.tensors.snapshot import Array, TensorSpec, on_grid, require_finite
from diffserver.checkpoints.tensors.flat import Derived, Weights, choose_grid, pieces, tensor_of
from diffserver.checkpoints.tensors.rounding import Rounding


@dataclass(frozen=True, eq=False)
class Entry:
    """A tensor's place in the table of version 0, and its weights before and after they were rounded to its grid."""

    spec: TensorSpec
    before: Derived
    after: Derived

    @property
    def rounding(self) -> Rounding | None:
        """The rounding; None off the grid."""
        if self.spec.grid is None:
            return None
        return Rounding.between(self.spec.name, pieces(self.spec.size, self.before, self.after))

    def pieces(self) -> Iterator[Array]:
        """Yield the entered weights, chunk by chunk."""
        return (piece for (piece,) in pieces(self.spec.size, self.after))


def enter(weights: Weights, spec: TensorSpec, off_grid: Container[str], constants: Container[str]) -> Entry:
    """Return a tensor on a grid chosen for it, unless `off_grid` names it; raises RangeError as `enter_grid` does."""
    before = tensor_of(weights, spec.name)
    for (piece,) in pieces(spec.size, before) if spec.name not in constants else ():
        require_finite(spec.name, piece, spec.dtype)
    free = spec.dtype != "F32" or spec.name in off_grid
    entered = replace(spec, grid=None if free else choose_grid(spec.size, before))
    return Entry(entered, before, before.converted(partial(on_grid, dtype=spec.dtype, grid=entered.grid)))
