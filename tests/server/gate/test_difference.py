"""Changes of devices, and the difference between two groups of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.gate.difference import changes, compare

RNG = np.random.default_rng(3)


def counts(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_a_change_is_in_points_and_needs_both_sides() -> None:
    before = counts((10, 100), (0, 0), (5, 50), (1, 10))
    after = counts((12, 100), (3, 30), (0, 0), (0, 10))
    assert changes(before, after).tolist() == [2.0, -10.0]


@given(st.floats(-20, 20))
def test_what_changes_for_all_devices_falls_out(shift: float) -> None:
    moved, control = RNG.normal(1, 4, 50), RNG.normal(0, 4, 300)
    here, there = compare(moved, control), compare(moved + shift, control + shift)
    assert [there.value, there.error] == pytest.approx([here.value, here.error])


def test_it_is_welchs_interval() -> None:
    moved, control = np.array([1.0, 3.0, 5.0, 7.0]), np.array([0.0, 0.0, 2.0])
    result = compare(moved, control)
    assert (result.moved, result.control) == (4, 3)
    assert result.value == pytest.approx(4 - 2 / 3)
    assert result.error == pytest.approx(math.sqrt(20 / 3 / 4 + 4 / 3 / 3))
    assert result.freedom == pytest.approx(4.349, abs=1e-3)


def test_where_all_are_alike_the_next_device_may_differ() -> None:
    assert compare(np.zeros(100), np.zeros(400)).error == pytest.approx(math.hypot(1 / 100, 1 / 400))


@pytest.mark.parametrize(("moved", "control"), [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_one_device_tells_nothing(moved: int, control: int) -> None:
    assert compare(np.ones(moved), np.ones(control)).error == math.inf
