from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import RangeError
from diffclient.tensors.ordinals import add, from_ordinals, subtract, to_ordinals
from diffclient.tensors.snapshot import DTYPES, Array
from tests.client import by_hand
from tests.client.by_hand import FLOATS, WIDTHS, moved, number, ordinal

ALL = tuple(WIDTHS)


def weights_of(patterns: list[int], dtype: str) -> Array:
    return np.array(patterns, f"u{WIDTHS[dtype] // 8}").view(DTYPES[dtype])


def patterns_of(weights: Array) -> list[int]:
    patterns: list[int] = weights.view(f"u{weights.itemsize}").tolist()
    return patterns


def is_valid(pattern: int, dtype: str) -> bool:
    return moved(pattern, 0, dtype) is not None


@st.composite
def valid(draw: st.DrawFn, size: int, dtypes: Sequence[str] = ALL) -> tuple[str, list[int]]:
    """A dtype, and patterns that a version may hold, near the ends of the range as often as anywhere."""
    dtype = draw(st.sampled_from(dtypes))
    top = (1 << WIDTHS[dtype]) - 1
    edges = [0, 1, top, top >> 1, (top >> 1) + 1]
    if dtype in FLOATS:
        edges += [FLOATS[dtype].infinity - 1, (top >> 1) + FLOATS[dtype].infinity]
    some = st.sampled_from(edges) | st.integers(0, 1 if dtype == "BOOL" else top)
    return dtype, draw(st.lists(some.filter(lambda p: is_valid(p, dtype)), min_size=size, max_size=size))


@given(valid(2, tuple(FLOATS)))
def test_the_order_of_ordinals_is_the_order_of_the_numbers(drawn: tuple[str, list[int]]) -> None:
    dtype, patterns = drawn
    first, second = (number(pattern, dtype) for pattern in patterns)
    low, high = to_ordinals(weights_of(patterns, dtype), dtype).tolist()
    assert (low < high) == (first < second)
    assert (low == high) == (first == second)


@given(valid(5))
def test_ordinals_are_the_documented_ones_and_lead_back(drawn: tuple[str, list[int]]) -> None:
    dtype, patterns = drawn
    ordinals = to_ordinals(weights_of(patterns, dtype), dtype)
    assert ordinals.tolist() == [ordinal(pattern, dtype) for pattern in patterns]
    assert patterns_of(from_ordinals(ordinals, dtype, DTYPES[dtype])) == patterns


@given(valid(6))
def test_what_was_subtracted_leads_from_any_weights_to_any_others(drawn: tuple[str, list[int]]) -> None:
    dtype, patterns = drawn
    old, new = weights_of(patterns[:3], dtype), weights_of(patterns[3:], dtype)
    deltas = subtract(new, old, dtype)
    half = 1 << (WIDTHS[dtype] - 1)
    assert all(-half <= delta < half for delta in deltas.tolist())
    assert patterns_of(add(old, deltas, dtype)) == patterns[3:]
    assert patterns_of(add(new, subtract(old, new, dtype), dtype)) == patterns[:3]


@given(valid(1), st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-3, 3))
def test_adding_is_modulo_the_width_and_refuses_what_no_version_holds(drawn: tuple[str, list[int]], delta: int) -> None:
    dtype, (pattern,) = drawn
    delta = by_hand.signed(delta % (1 << WIDTHS[dtype]), WIDTHS[dtype])
    expected = moved(pattern, delta, dtype)
    old, deltas = weights_of([pattern], dtype), np.array([delta], np.int64)
    if expected is None:
        with pytest.raises(RangeError, match="new snapshot"):
            add(old, deltas, dtype)
    else:
        assert patterns_of(add(old, deltas, dtype)) == [expected]


KNOWN = [
    ("F16", 0x3C00, 0xBC00),
    ("F16", 0xBC00, 0x43FF),
    ("BF16", 0x0000, 0x8000),
    ("BF16", 0x8001, 0x7FFE),
    ("F32", 0x00000001, 0x80000001),
    ("F64", 0xFFEFFFFFFFFFFFFF, 0x0010000000000000),
    ("I8", 0xFF, 0xFF),
    ("I64", 1 << 63, 1 << 63),
    ("BOOL", 1, 1),
]


@pytest.mark.parametrize(("dtype", "pattern", "expected"), KNOWN)
def test_known_ordinals_never_change(dtype: str, pattern: int, expected: int) -> None:
    assert to_ordinals(weights_of([pattern], dtype), dtype).tolist() == [expected]


REFUSED = [
    ("F16", 0x7BFF, 1),
    ("F16", 0x0000, -1),
    ("BF16", 0xFF7F, -1),
    ("BF16", 0x0000, 0x7FC1),
    ("F32", 0x7F7FFFFF, 1),
    ("F64", 0x7FEFFFFFFFFFFFFF, 1),
    ("BOOL", 1, 1),
    ("BOOL", 0, -1),
]


@pytest.mark.parametrize(("dtype", "pattern", "delta"), REFUSED)
def test_weights_that_no_version_holds_are_refused(dtype: str, pattern: int, delta: int) -> None:
    with pytest.raises(RangeError, match="new snapshot"):
        add(weights_of([pattern], dtype), np.array([delta], np.int64), dtype)
