"""Give a tensor that outgrew its grid a new one, or take it off the grid: whichever takes fewer bytes.

Only an exact diff can carry that. Finding such tensors is left to `changes`.
"""

from __future__ import annotations

from functools import partial

from diffclient.diff.streams import Diff
from diffclient.payload.encode import payload_length
from diffclient.tensors import arithmetic
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.tensors import deltas
from diffserver.checkpoints.tensors.deltas import Stream
from diffserver.checkpoints.tensors.flat import Derived, Flat, choose_grid

Move = tuple[Stream, int | None]
"""A stream, and the exponent of the tensor's grid from there on; None off the grid."""


def move(spec: TensorSpec, old: Flat, new: Flat) -> Move:
    """Return the shorter way from weights on a grid (fp32) to weights that lie beyond its end.

    Of two that are equally long, the one to a new grid is taken: trained and merged diffs can go on from there.
    """
    moves: list[Move] = [(deltas.of_ordinals(spec, old, new), None)]
    grid = choose_grid(spec.size, new)
    if grid is not None:
        moves.insert(0, _to_grid(spec, old, new, grid))
    return min(moves, key=partial(_length, spec))


def _length(spec: TensorSpec, candidate: Move) -> int:
    stream, grid = candidate
    return payload_length(Diff("exact", (stream,), grids={0: grid}), (spec,))


def _to_grid(spec: TensorSpec, old: Flat, new: Flat, grid: int) -> Move:
    own = spec.grid
    assert own is not None
    assert grid < own, "its largest weight is beyond the end of the old one"

    def before(start: int, stop: int) -> arithmetic.Ints:
        return arithmetic.to_grid(arithmetic.coarsen(old[start:stop], own, grid), grid)

    def after(start: int, stop: int) -> arithmetic.Ints:
        return arithmetic.round_to_grid(new[start:stop], grid)

    return deltas.of_units(spec, Derived(before), Derived(after)), grid
