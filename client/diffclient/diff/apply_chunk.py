"""Apply a diff's piece to one chunk of a tensor, by the rules of the diff's kind and the tensor's dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Piece, Source
from diffclient.errors import RangeError
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.arithmetic import ONE, Values
from diffclient.tensors.tensor_table import HALVES, TensorSpec

Array = npt.NDArray[Any]
Rule = Callable[[Array, Values], Array]

BLOCK = 1 << 15
"""Weights that are combined at once where all of them change, so that intermediate results stay in the cache."""


def prepare(weights: Array, before: TensorSpec, after: TensorSpec, alpha: int) -> None:
    """Round a chunk of weights (flat) to its tensor's new grid, if there is one, and scale them by `alpha`, in place.

    Raises RangeError if they are not on the grid that they leave.
    """
    regrids = before.grid is not None and after.grid is not None and before.grid != after.grid
    if not regrids and alpha == ONE:
        return
    for start in range(0, weights.size, BLOCK):
        block = slice(start, start + BLOCK)
        if before.grid is not None and after.grid is not None and regrids:
            weights[block] = arithmetic.coarsen(weights[block], before.grid, after.grid)
        if alpha != ONE:
            weights[block] = _scaled(weights[block], after.grid, alpha)


def change(weights: Array, spec: TensorSpec, source: Source, piece: Piece | None) -> None:
    """Combine a chunk of weights (flat) of a tensor that `source` touches with its piece, in place.

    The weights went through `prepare` before, and `spec` is what the tensor is then.
    Where no factor scales the weights, those that the piece does not name are not read. Raises RangeError.
    """
    scaled = source.kind != "exact" and source.alpha != ONE
    if piece is None and not scaled:
        return
    rule = _rule(spec, source, piece)
    if piece is not None and not scaled and (source.kind == "exact" or piece.positions is not None):
        # In exact a 0 leaves even bits alone that nothing may become.
        places, values = _changed(piece)
        weights[places] = rule(weights[places], values)
        return
    values = _everywhere(piece, weights.size)
    for start in range(0, weights.size, BLOCK):
        block = slice(start, start + BLOCK)
        weights[block] = rule(weights[block], values[block])


def _scaled(weights: Array, grid: int | None, alpha: int) -> Array:
    if grid is None:
        return arithmetic.scale(weights.astype(np.int32), alpha).astype(np.int8)
    return arithmetic.from_grid(arithmetic.scale(arithmetic.to_grid(weights, grid), alpha), grid)


def _changed(piece: Piece) -> tuple[npt.NDArray[np.int64], Values]:
    """Return the positions that a piece changes, and the values added there."""
    if piece.positions is not None:
        return piece.positions, piece.values
    places = np.flatnonzero(piece.values)
    return places, piece.values[places]


def _everywhere(piece: Piece | None, size: int) -> Values:
    """Return a piece's values for every weight of the chunk, 0 where it names none."""
    if piece is not None and piece.positions is None:
        return piece.values
    values = np.zeros(size, np.int64 if piece is None else piece.values.dtype)
    if piece is not None:
        values[piece.positions] = piece.values
    return values


def _rule(spec: TensorSpec, source: Source, piece: Piece | None) -> Rule:
    """Return the function from old weights and values (flat, equally long) to new weights; raises RangeError."""
    alpha, beta = (ONE, ONE) if source.kind == "exact" else (source.alpha, source.beta)
    if spec.grid is not None:
        return partial(_combine_on_grid, alpha=alpha, beta=beta, exponent=spec.grid)
    if source.kind == "exact":
        return partial(ordinals.add, dtype=spec.dtype, nonfinite=source.nonfinite)
    if spec.dtype == "I8":
        return partial(arithmetic.combine_int8, alpha=alpha, beta=beta)
    if spec.dtype in HALVES:
        exponent = 0 if piece is None or piece.exponent is None else piece.exponent
        return partial(arithmetic.combine_half, alpha=alpha, beta=beta, dtype=spec.dtype, exponent=exponent)
    raise RangeError(f"{spec.dtype} off the grid changes only through exact diffs, not {source.kind} ones")


def _combine_on_grid(weights: Array, values: Values, *, alpha: int, beta: int, exponent: int) -> Array:
    if alpha == beta == ONE:
        return arithmetic.add(weights, values, exponent)
    units = arithmetic.to_grid(weights, exponent)
    return arithmetic.from_grid(arithmetic.combine(units, values, alpha, beta), exponent)
