from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffclient.arithmetic import (
    FACTOR_LIMIT,
    LIMIT,
    ONE,
    choose_grid,
    combine,
    from_grid,
    round_to_grid,
    to_grid,
)
from diffclient.errors import RangeError

floats = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1e6, 1e6, width=32))
units = st.integers(-LIMIT // 2, LIMIT // 2)
factors = st.integers(-FACTOR_LIMIT, FACTOR_LIMIT)


@given(floats)
def test_entering_the_grid_moves_no_weight_by_more_than_a_millionth_of_the_largest(
    weights: np.ndarray,
) -> None:
    exponent = choose_grid(weights)
    rounded = from_grid(round_to_grid(weights, exponent), exponent)
    largest = np.max(np.abs(weights), initial=0)
    assert np.all(np.abs(rounded.astype(float) - weights) <= max(largest * 2.0**-20, 2.0**-126))


@given(floats)
def test_weights_on_the_grid_return_to_the_same_integers(weights: np.ndarray) -> None:
    exponent = choose_grid(weights)
    integers = round_to_grid(weights, exponent)
    assert np.array_equal(to_grid(from_grid(integers, exponent), exponent), integers)
    assert np.max(np.abs(integers), initial=0) <= 1 << 21


@given(units, units, factors, factors)
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


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_non_finite_weights_are_refused(bad: float) -> None:
    with pytest.raises(RangeError, match="not finite"):
        choose_grid(np.array([1.0, bad], np.float32))


def test_zero_is_positive_zero() -> None:
    result = from_grid(round_to_grid(np.array([-0.0, -1e-30], np.float32), 10), 10)
    assert not np.signbit(result).any()


@pytest.mark.parametrize("weights", [[0.3], [2.0**30], [np.nan], [np.inf]])
def test_weights_off_their_grid_are_refused(weights: list[float]) -> None:
    with pytest.raises(RangeError):
        to_grid(np.array(weights, np.float32), 4)
