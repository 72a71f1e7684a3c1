"""Changes in whole steps: what is kept, how far off it is, and where a tensor ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.changes import Change
from diffserver.checkpoints.quantise import (
    INT8_UNIT,
    Rung,
    WantedChange,
    int8_scales,
    left_out,
    unscaled,
    wanted_change,
)

UNITS = st.integers(-(1 << 24), 1 << 24)


@given(st.floats(1e-30, 1e30))
def test_a_rung_is_the_largest_that_is_not_above(value: float) -> None:
    rung = Rung.below(value)
    assert rung.value <= value < Rung(rung.number + 1).value
    assert 4 <= rung.mantissa <= 7
    assert math.ldexp(rung.mantissa, rung.power) == rung.value


def on_grid(pairs: list[tuple[int, int]]) -> WantedChange:
    old, new = np.array(pairs, np.int32).T
    change = wanted_change(Change(TensorSpec("w", (len(pairs),), "F32", 10), old, new))
    assert change is not None
    return change


@given(st.lists(st.tuples(UNITS, UNITS), min_size=1, max_size=30), st.integers(-60, 60), st.floats(0, 2e4))
def test_what_is_kept_is_large_near_and_on_the_grid(
    pairs: list[tuple[int, int]], number: int, threshold: float
) -> None:
    change, rung = on_grid(pairs), Rung(number)
    stream, gain = change.quantised(change.sizes > threshold, rung)
    remainder = change.deltas.astype(np.float64)
    if stream is None:
        assert gain == 0
        return
    assert np.all(change.sizes[stream.positions] > threshold)
    assert stream.levels.all()
    moved = stream.levels.astype(np.int64) * stream.step
    assert np.abs(np.array(pairs)[stream.positions, 0] + moved).max() <= 1 << 24
    before = float(np.sum(remainder**2))
    remainder[stream.positions] -= moved
    assert gain / change.unit**2 == pytest.approx(before - float(np.sum(remainder**2)), rel=1e-6, abs=1.0)
    assert np.abs(remainder[stream.positions]).max() <= stream.step, "a step back where rounding would leave the grid"


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_halves_get_steps_of_few_bits_in_units_of_a_power_of_two(dtype: str) -> None:
    numbers = np.array([0.5, -3.0, 0.0, 0.001], np.float32)
    new = numbers.astype(np.float16) if dtype == "F16" else (numbers.view(np.uint32) >> 16).astype(np.uint16)
    change = wanted_change(Change(TensorSpec("h", (4,), dtype, None), np.zeros_like(new), new))
    assert change is not None
    rung = Rung.below(0.12)
    stream, _ = change.quantised(change.sizes > 0.06, rung)
    assert stream is not None
    assert (stream.step, stream.exponent) == (rung.mantissa, -rung.power)
    assert stream.positions.tolist() == [0, 1]
    quantised = stream.levels * stream.step * 2.0 ** -(stream.exponent or 0)
    assert np.abs(quantised - numbers[:2]).max() <= rung.value / 2


@pytest.mark.parametrize("dtype", ["F64", "I64", "I32", "I16", "U8", "BOOL", "F32"])
def test_what_only_an_exact_diff_can_change_is_named(dtype: str) -> None:
    kinds = {"F64": "f8", "F32": "f4", "U8": "u1", "BOOL": "u1", "I64": "i8", "I32": "i4", "I16": "i2"}
    old = np.zeros(3, kinds[dtype])
    spec = TensorSpec("t", (3,), dtype, None)
    assert wanted_change(Change(spec, old, old + 1)) is None
    assert left_out([Change(spec, old, old + 1)]) == ["t"]
    assert left_out([Change(spec, old, old)]) == []


INT8 = TensorSpec("w", (2, 3), "I8", None)


def int8_change(*moved: int) -> Change:
    return Change(INT8, np.zeros(6, np.int8), np.array(moved, np.int8))


def test_int8_steps_are_compared_as_the_weights_that_they_are() -> None:
    scale = Change(TensorSpec("w_scale", (2, 1), "F32", 20), *2 * (np.array([1 << 19, 1 << 21], np.int32),))
    change = int8_change(4, -2, 0, 1, -1, 0)
    scales = int8_scales([change, scale])
    assert scales["w"].tolist() == [[0.5], [2.0]]
    wanted = wanted_change(change, scales["w"])
    assert wanted is not None
    assert wanted.sizes.tolist() == [2, 1, 0, 2, 2, 0]
    assert wanted.unit == 1.25
    stream, gain = wanted.quantised(wanted.sizes > 1, Rung.below(0.1))
    assert stream is not None
    assert (stream.positions.tolist(), stream.levels.tolist(), stream.step) == ([0, 3, 4], [4, 1, -1], 1)
    assert gain == pytest.approx(3 * 2**2)
    assert unscaled([change, scale]) == []


def test_int8_without_a_scale_counts_as_128_to_1_and_is_named() -> None:
    change = int8_change(4, 0, 0, 0, 0, 0)
    wanted = wanted_change(change)
    assert wanted is not None
    assert wanted.sizes.max() == 4 * INT8_UNIT
    assert unscaled([change]) == ["w"]
    assert unscaled([int8_change(0, 0, 0, 0, 0, 0)]) == []
