"""The arithmetic of low-rank changes: whole numbers, rounded as everywhere, the same in every order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.low_rank import BITS, changes, entropy_bytes, factors, low_rank, product, quantise


@given(seed=st.integers(0, 2**32), shift=st.integers(-3, 40), bits=st.sampled_from(BITS))
def test_products_are_rounded_half_to_even(seed: int, shift: int, bits: int) -> None:
    most = 2 ** (bits - 1) - 1
    rng = np.random.default_rng(seed)
    left, right = rng.integers(-most, most + 1, (3, 8)), rng.integers(-most, most + 1, (8, 2))
    expected = [
        [round(Fraction(sum(int(a) * int(b) for a, b in zip(row, column, strict=True))) / Fraction(2) ** shift)
         for column in right.T]
        for row in left
    ]  # fmt: skip
    assert product(left, right, shift).tolist() == expected
    assert np.array_equal((left.astype(float) @ right.astype(float)).astype(np.int64), left @ right)


@given(scale=st.floats(1e-6, 1e6), bits=st.sampled_from(BITS))
def test_factors_fill_their_bits(scale: float, bits: int) -> None:
    values = scale * np.random.default_rng(0).normal(size=(20, 8))
    whole, exponent = quantise(values, bits)
    assert 2 ** (bits - 2) - 1 <= np.abs(whole).max() < 2 ** (bits - 1)
    # The largest one may be cut by one step.
    assert np.abs(np.ldexp(whole.astype(float), -exponent) - values).max() <= np.ldexp(1.0, -exponent)


def test_more_bits_come_nearer_and_leave_less_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.low_rank.MATRICES", 1)
    [change] = changes(0.02, np.random.default_rng(3))
    left, right = factors(change)
    assert np.abs(left @ right - (change.new - change.old).reshape(len(left), -1)).max() < 1.5
    rows = [low_rank([change], bits) for bits in BITS]
    for name, order in (("error_share", -1), ("bytes_to_exact", -1), ("bytes", 1), ("equal_share", 1)):
        figures = [row[name] for row in rows]
        assert figures == sorted(figures)[::order]


def test_entropy_counts_symbols_and_plain_bits() -> None:
    assert entropy_bytes(np.array([0, 0, 1, 1])) == 0.5
    assert entropy_bytes(np.array([0, 1, 2, 3]), plain_bits=2) == 1.0
