from __future__ import annotations

import numpy as np
import pytest

from diffclient.diff.apply_chunk import BLOCK, change, prepare
from diffclient.diff.streams import Diff, Kind, Piece
from diffclient.errors import RangeError
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.snapshot import Array, TensorSpec

NAN, MINUS_ZERO = np.float32(np.nan), np.float32(-0.0)
FREE = TensorSpec("free", (4,), "F32", None)
GRID = TensorSpec("grid", (4,), "F32", 0)
INT8 = TensorSpec("int8", (4,), "I8", None)


def empty(kind: Kind, alpha: int = ONE, beta: int = ONE) -> Diff:
    return Diff(kind, (None,), alpha, beta)


def values(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    "piece", [Piece(None, values(0, 1, 0, 0)), Piece(np.array([1]), values(1))], ids=["all weights", "one"]
)
def test_exact_does_not_look_at_what_it_leaves_alone(piece: Piece) -> None:
    weights = np.array([NAN, 1.0, MINUS_ZERO, np.inf], np.float32)
    before = weights.view(np.uint32).copy()
    change(weights, FREE, empty("exact"), piece)
    assert weights[1] == np.nextafter(np.float32(1), np.float32(2))
    assert np.array_equal(np.delete(weights.view(np.uint32), 1), np.delete(before, 1))


def test_weights_that_are_scaled_first_are_rounded_half_to_even() -> None:
    weights = np.array([1, -1, 3, -127], np.int8)
    prepare(weights, INT8, INT8, ONE // 2)
    assert weights.tolist() == [0, 0, 2, -64]


def test_a_new_grid_comes_before_the_factor() -> None:
    weights = np.array([7, 8, 9, 10], np.float32)
    prepare(weights, GRID, TensorSpec("grid", (4,), "F32", -2), ONE // 4)
    assert weights.tolist() == [0, 0, 0, 0], "8, 8, 8, 8 in units of 4, a quarter of which is half a unit"


def test_weights_that_are_kept_whole_are_not_looked_at() -> None:
    weights = np.full(4, NAN)
    prepare(weights, GRID, GRID, ONE)
    assert np.isnan(weights).all()


def test_where_nothing_is_scaled_no_piece_is_no_change() -> None:
    weights = np.full(4, NAN)
    change(weights, GRID, empty("sparse"), None)
    assert np.isnan(weights).all()


def test_what_scales_weights_scales_all_of_them() -> None:
    weights = np.array([2, 4, 6, 8], np.float32)
    change(weights, GRID, empty("sparse", alpha=ONE // 2), Piece(np.array([3]), values(10)))
    assert weights.tolist() == [1, 2, 3, 14]


def test_a_chunk_of_many_blocks_is_changed_everywhere() -> None:
    size = 2 * BLOCK + 7
    weights = np.zeros(size, np.float32)
    change(weights, GRID, empty("hashed"), Piece(None, np.arange(size, dtype=np.int64)))
    assert np.array_equal(weights, np.arange(size))


def test_floats_off_the_grid_change_only_exactly() -> None:
    with pytest.raises(RangeError, match="only through exact"):
        change(np.ones(4, np.float32), FREE, empty("sparse"), Piece(np.array([0]), values(1)))
