"""A tensor that outgrew its grid: the shorter way to its new weights, and the same weights by either."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.tensors import arithmetic
from diffclient.tensors.snapshot import Array, Snapshot, TensorSpec, write_snapshot
from diffserver.checkpoints.tensors.outgrown import move

UNITS = st.integers(-(1 << 24), 1 << 24)


def moved(spec: TensorSpec, old: Array, new: Array) -> tuple[int | None, Array]:
    """The grid and the weights that the move makes of the old ones."""
    stream, grid = move(spec, old, new)
    with TemporaryDirectory() as folder:
        write_snapshot(Path(folder) / "0", (spec,), [old])
        apply(Snapshot(Path(folder) / "0"), [Diff("exact", (stream,), grids={0: grid})], Path(folder) / "1")
        after = Snapshot(Path(folder) / "1")
        return after.table[0].grid, after.read("w")


@settings(max_examples=60, deadline=None)
@given(st.integers(-90, 126), st.lists(st.tuples(UNITS, st.floats(-1, 1)), min_size=1, max_size=40), st.integers(1, 25))
def test_the_new_weights_arrive(exponent: int, pairs: list[tuple[int, float]], octaves: int) -> None:
    end = 2.0 ** (24 - exponent)
    old = arithmetic.from_grid(np.array([units for units, _ in pairs], np.int32), exponent)
    new = np.array([share * end for _, share in pairs], np.float32) + 0
    new[0] = end * 2.0**octaves * 0.75 if 24 - exponent + octaves < 127 else 3e38
    grid, arrived = moved(TensorSpec("w", old.shape, "F32", exponent), old, new)
    if grid is None:
        assert arrived.tobytes() == (new + 0).tobytes()
    else:
        assert grid == arithmetic.choose_grid(new)
        assert grid < exponent
        assert np.array_equal(arithmetic.to_grid(arrived, grid), arithmetic.round_to_grid(new, grid))


def test_a_large_tensor_goes_to_a_coarser_grid_and_stays_trainable() -> None:
    rng = np.random.default_rng(0)
    old = arithmetic.from_grid(rng.integers(-(1 << 21), 1 << 21, 5000, dtype=np.int32), 21)
    new = (old + rng.normal(0, 0.01, 5000)).astype(np.float32)
    new[17] = 30
    assert moved(TensorSpec("w", (5000,), "F32", 21), old, new)[0] == 16


def test_a_few_weights_that_moved_on_are_taken_off_the_grid_if_that_is_shorter() -> None:
    old = np.zeros(200, np.float32)
    new = old.copy()
    new[::2] = 1e9 * np.arange(1, 101)
    new[1::2] = 2.0**-9 * np.arange(1, 101)
    grid, arrived = moved(TensorSpec("w", (200,), "F32", 21), old, new)
    assert grid is None, "no grid suits both"
    assert arrived.tobytes() == new.tobytes()


@pytest.mark.parametrize("count", [8.5, 1000.0, 123_457.0])
def test_a_counter_of_steps_goes_on_counting(count: float) -> None:
    old, new = np.array([7.5], np.float32), np.array([count], np.float32)
    assert moved(TensorSpec("w", (1,), "F32", 21), old, new)[1].tolist() == [count]
