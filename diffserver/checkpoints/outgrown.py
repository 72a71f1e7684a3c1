"""Give a tensor that outgrew its grid a new one, or take it off the grid: whichever takes fewer bytes.

Only an exact diff can carry that. Finding such tensors is left to `changes`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Diff, Exact
from diffclient.payload.encode import payload_length
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.arithmetic import Floats
from diffclient.tensors.tensor_table import TensorSpec

Move = tuple[Exact, int | None]
"""A stream, and the exponent of the tensor's grid from there on; None off the grid."""


def move(spec: TensorSpec, old: Floats, new: Floats) -> Move:
    """Return the shorter way from weights on a grid (fp32, flat) to weights that lie beyond its end.

    Of two that are equally long, the one to a new grid is taken: trained and merged diffs can go on from there.
    """
    moves: list[Move] = [(_stream(ordinals.subtract(new, old, spec.dtype)), None)]
    grid = arithmetic.choose_grid(new)
    if grid is not None:
        moves.insert(0, _to_grid(spec, old, new, grid))
    return min(moves, key=partial(_length, spec))


def _length(spec: TensorSpec, candidate: Move) -> int:
    stream, grid = candidate
    return payload_length(Diff("exact", (stream,), grids={0: grid}), (spec,))


def _to_grid(spec: TensorSpec, old: Floats, new: Floats, grid: int) -> Move:
    assert spec.grid is not None
    assert grid < spec.grid, "its largest weight is beyond the end of the old one"
    before = arithmetic.to_grid(arithmetic.coarsen(old, spec.grid, grid), grid)
    return _stream(arithmetic.round_to_grid(new, grid).astype(np.int64) - before), grid


def _stream(deltas: npt.NDArray[np.signedinteger[Any]]) -> Exact:
    positions = np.flatnonzero(deltas)
    return Exact(positions, deltas[positions].astype(np.int64))
