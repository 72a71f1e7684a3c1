from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffclient.errors import RangeError
from diffclient.tensors.arithmetic import (
    FACTOR_LIMIT,
    GRID_MIN,
    LIMIT,
    ONE,
    SMALL_TENSOR,
    VALUE_LIMIT,
    add,
    choose_grid,
    coarsen,
    combine,
    combine_half,
    combine_int8,
    from_grid,
    round_to_grid,
    to_grid,
)
from diffclient.tensors.snapshot import DTYPES, Array
from tests.client import by_hand

floats = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1e6, 1e6, width=32))
units = st.integers(-LIMIT // 2, LIMIT // 2)
ends = st.sampled_from([-LIMIT, LIMIT, LIMIT - 1, 1 - LIMIT, 0])
values = st.integers(-VALUE_LIMIT, VALUE_LIMIT) | st.integers(-9, 9)
factors = st.integers(-FACTOR_LIMIT, FACTOR_LIMIT) | st.sampled_from([ONE, ONE // 2, -ONE, 0, FACTOR_LIMIT])
halves = st.sampled_from(["F16", "BF16"])
half_values = st.integers(-LIMIT, LIMIT) | st.integers(-9, 9)


def chosen(weights: np.ndarray) -> int:
    """The grid of weights that one suits."""
    exponent = choose_grid(weights)
    assume(exponent is not None)
    assert exponent is not None
    return exponent


@given(floats)
def test_entering_the_grid_moves_no_weight_by_more_than_a_millionth_of_the_largest(
    weights: np.ndarray,
) -> None:
    exponent = chosen(weights)
    rounded = from_grid(round_to_grid(weights, exponent), exponent)
    largest = np.max(np.abs(weights), initial=0)
    assert np.all(np.abs(rounded.astype(float) - weights) <= max(largest * 2.0**-20, 2.0**-126))


@given(floats)
def test_weights_on_the_grid_return_to_the_same_integers(weights: np.ndarray) -> None:
    exponent = chosen(weights)
    integers = round_to_grid(weights, exponent)
    assert np.array_equal(to_grid(from_grid(integers, exponent), exponent), integers)
    assert np.max(np.abs(integers), initial=0) <= 1 << 21


@given(st.lists(units | ends, max_size=20), st.integers(-100, 126))
def test_every_grid_holds_24_bits_exactly(integers: list[int], exponent: int) -> None:
    weights = from_grid(np.array(integers, np.int32), exponent)
    assert [Fraction(weight) for weight in weights.tolist()] == [w * Fraction(2) ** -exponent for w in integers]
    assert to_grid(weights, exponent).tolist() == integers


@given(units | ends, values, factors, factors)
def test_combine_is_exact_rational_arithmetic_rounded_half_to_even(w: int, d: int, a: int, b: int) -> None:
    expected = round(Fraction(a * w + b * d, ONE))
    arrays = np.array([w], np.int32), np.array([d], np.int32)
    if abs(expected) > LIMIT:
        with pytest.raises(RangeError):
            combine(*arrays, a, b)
    else:
        assert combine(*arrays, a, b)[0] == expected


@given(st.lists(st.tuples(units, units), min_size=1, max_size=20), st.integers(-20, 40))
def test_with_unit_factors_a_plain_fp32_addition_gives_the_same_bits(pairs: list[tuple[int, int]], e: int) -> None:
    w, d = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    floating = from_grid(w, e) + from_grid(d, e)
    assert np.array_equal(floating, from_grid(combine(w, d), e))


@given(st.lists(st.tuples(units | ends, values | ends), max_size=5), st.integers(-100, 126))
@example([(LIMIT, 0)], 3)
@example([(LIMIT, 1)], 3)
@example([(-LIMIT, -1), (5, 5)], 3)
@example([(LIMIT, -VALUE_LIMIT)], 3)
def test_adding_in_fp32_is_adding_in_integers(pairs: list[tuple[int, int]], exponent: int) -> None:
    sums = [w + d for w, d in pairs]
    weights = from_grid(np.array([w for w, _ in pairs], np.int32), exponent)
    added = np.array([d for _, d in pairs], np.int64)
    if any(abs(total) > LIMIT for total in sums):
        with pytest.raises(RangeError, match="new snapshot"):
            add(weights, added, exponent)
    else:
        assert to_grid(add(weights, added, exponent), exponent).tolist() == sums


@pytest.mark.parametrize("value", [VALUE_LIMIT + 1, -VALUE_LIMIT - 1, 1 << 62, -(1 << 63)])
@pytest.mark.parametrize("beta", [ONE, 1, 0])
def test_values_that_lead_nowhere_on_a_grid_are_refused(value: int, beta: int) -> None:
    with pytest.raises(RangeError, match="25 bits"):
        combine(np.array([0], np.int32), np.array([value], np.int64), ONE, beta)


@given(st.integers(-128, 127), values | st.integers(-256, 256), factors, factors)
def test_int8_is_its_own_grid(w: int, d: int, a: int, b: int) -> None:
    expected = by_hand.int8(w % 256, d, a, b)
    arrays = np.array([w], np.int8), np.array([d], np.int64)
    if expected is None:
        with pytest.raises(RangeError, match="new snapshot"):
            combine_int8(*arrays, a, b)
    else:
        assert combine_int8(*arrays, a, b).view(np.uint8)[0] == expected


def half_of(pattern: int, dtype: str) -> Array:
    return np.array([pattern], np.uint16).view(DTYPES[dtype])


@given(halves, st.integers(0, 0xFFFF), half_values, st.integers(-100, 126), factors, factors)
@example("F16", 0x0400, 1, 25, ONE, ONE)  # a half of the last bit: rounds to even
@example("F16", 0x0401, 1, 25, ONE, ONE)  # the same, upwards
@example("BF16", 0x3F80, -(1 << 23), 23, ONE, ONE)  # 1 - 1: plus zero
@example("F16", 0x7BFF, 1, -4, ONE, ONE)  # 65504 + 16: rounds to infinity
@example("BF16", 0x7F7F, 0, 0, FACTOR_LIMIT, ONE)  # infinite in fp32
@example("BF16", 0x7F7F, 1, -126, -FACTOR_LIMIT, FACTOR_LIMIT)
@example("F16", 0x8000, 0, 0, ONE, ONE)  # stays
@example("F16", 0x8000, 0, 0, ONE + 1, ONE)  # does not
def test_halves_are_combined_in_fp32_and_rounded_once(
    dtype: str, pattern: int, value: int, exponent: int, a: int, b: int
) -> None:
    infinity = by_hand.FLOATS[dtype].infinity
    assume(pattern & infinity != infinity)
    expected = by_hand.half(pattern, value, a, b, exponent, dtype)
    arguments = half_of(pattern, dtype), np.array([value], np.int64), a, b
    if expected is None:
        with pytest.raises(RangeError, match="not finite"):
            combine_half(*arguments, dtype=dtype, exponent=exponent)
    else:
        assert combine_half(*arguments, dtype=dtype, exponent=exponent).view(np.uint16)[0] == expected


@given(halves, st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=20))
def test_halves_that_nothing_is_added_to_keep_their_bits(dtype: str, patterns: list[int]) -> None:
    weights = np.array(patterns, np.uint16).view(DTYPES[dtype])
    kept = combine_half(weights, np.zeros(len(patterns), np.int32), ONE, ONE, dtype=dtype, exponent=20)
    assert kept.view(np.uint16).tolist() == patterns


@pytest.mark.parametrize("value", [LIMIT + 1, -LIMIT - 1, 1 << 40])
def test_values_that_fp32_does_not_hold_are_refused_in_halves(value: int) -> None:
    with pytest.raises(RangeError, match="24 bits"):
        combine_half(half_of(0, "F16"), np.array([value], np.int64), ONE, ONE, dtype="F16", exponent=30)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 2.0**122])
def test_no_grid_suits_weights_that_are_not_finite_or_too_large(bad: float) -> None:
    assert choose_grid(np.array([1.0, bad], np.float32)) is None
    assert choose_grid(np.array([1.0, 2.0**120], np.float32)) == GRID_MIN


@pytest.mark.parametrize("theta", [1e4, 5e5, 1e6])
@pytest.mark.parametrize("width", [32, 64, 128])
def test_no_grid_suits_rotary_frequencies(theta: float, width: int) -> None:
    assert choose_grid((theta ** -(np.arange(0, width, 2) / width)).astype(np.float32)) is None


@pytest.mark.parametrize("size", [1, 10, 100, SMALL_TENSOR, 10 * SMALL_TENSOR])
def test_a_grid_suits_trained_weights_of_any_number_and_spread(size: int) -> None:
    rng = np.random.default_rng(size)
    for scale in (1e-6, 0.02, 30.0):
        for weights in (rng.normal(0, scale, size), rng.laplace(0, scale, size), np.zeros(size), np.full(size, scale)):
            assert choose_grid(weights.astype(np.float32)) is not None
            weights[0] *= 50  # an outlier
            assert choose_grid(weights.astype(np.float32)) is not None


@given(integers=st.lists(units | ends, min_size=1, max_size=30), old=st.integers(-99, 126), by=st.integers(1, 225))
def test_a_coarser_grid_takes_weights_rounded_half_to_even(integers: list[int], old: int, by: int) -> None:
    new = max(GRID_MIN, old - by)
    weights = coarsen(from_grid(np.array(integers, np.int32), old), old, new)
    rounded = [round(Fraction(number, 1 << (old - new))) for number in integers]
    assert to_grid(weights, new).tolist() == rounded
    assert not np.signbit(weights[weights == 0]).any()


def test_zero_is_positive_zero() -> None:
    result = from_grid(round_to_grid(np.array([-0.0, -1e-30], np.float32), 10), 10)
    assert not np.signbit(result).any()


@pytest.mark.parametrize("weights", [[0.3], [2.0**30], [np.nan], [np.inf], [3e38], [-(2.0**21)]])
def test_weights_off_their_grid_are_refused(weights: list[float]) -> None:
    with pytest.raises(RangeError, match="damaged"):
        to_grid(np.array(weights, np.float32), 4)
    with pytest.raises(RangeError, match="damaged"):
        add(np.array(weights, np.float32), np.zeros(1, np.int32), 4)
