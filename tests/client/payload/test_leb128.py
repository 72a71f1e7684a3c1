from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import PayloadError
from diffclient.payload import leb128


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_come_back(numbers: list[int]) -> None:
    reader = leb128.Reader(leb128.write(numbers))
    assert [reader.take("number", 0, 2**64) for _ in numbers] == numbers
    reader.finish()


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_signed_numbers_come_back(numbers: list[int]) -> None:
    reader = leb128.Reader(leb128.write(map(leb128.zigzag, numbers)))
    assert [reader.take_signed("number", -(2**63), 2**63 - 1) for _ in numbers] == numbers


def test_zigzag_begins_at_zero() -> None:
    assert [leb128.zigzag(number) for number in (0, -1, 1, -2, 2)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        pytest.param(b"", "truncated", id="nothing"),
        pytest.param(b"\x80", "truncated", id="half a number"),
        pytest.param(b"\x83\x00", "shorter spelling", id="a longer spelling"),
        pytest.param(b"\xff" * 9 + b"\x02", "too long", id="65 bits"),
        pytest.param(b"\xff" * 20, "too long", id="endless"),
        pytest.param(b"\x0b", "shoe: 11 is not between 1 and 10", id="too large"),
        pytest.param(b"\x00", "shoe: 0 is not between 1 and 10", id="too small"),
    ],
)
def test_bad_numbers_are_refused(data: bytes, flaw: str) -> None:
    with pytest.raises(PayloadError, match=flaw):
        leb128.Reader(data).take("shoe", 1, 10)


def test_what_is_left_over_is_refused() -> None:
    with pytest.raises(PayloadError, match="left over"):
        leb128.Reader(b"\0").finish()
