from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import PayloadError
from diffclient.payload import bits

Parts = list[list[tuple[int, int]]]

fields = st.integers(0, 63).flatmap(lambda width: st.tuples(st.integers(0, (1 << width) - 1), st.just(width)))


def packed(parts: Parts) -> bytes:
    return b"".join(
        bits.pack(
            (np.array([field for field, _ in part], np.uint64), np.array([width for _, width in part], np.uint8))
            for part in parts
        )
    )


@given(st.lists(st.lists(fields, max_size=40), max_size=4))
def test_fields_come_back(parts: Parts) -> None:
    reader = bits.Reader(packed(parts))
    for part in parts:
        taken = reader.take(np.array([width for _, width in part], np.uint8))
        assert taken.tolist() == [field for field, _ in part]
    reader.finish()


@given(st.lists(fields, max_size=40))
def test_the_most_significant_bit_comes_first(part: list[tuple[int, int]]) -> None:
    spelt = "".join(f"{field:0{width}b}" if width else "" for field, width in part)
    expected = bytes(int(spelt[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(spelt), 8))
    assert packed([part]) == expected


def test_many_fields_are_packed_in_spans() -> None:
    values = np.arange(200_000, dtype=np.uint64) % np.uint64(8)
    widths = np.full(200_000, 3, np.uint8)
    assert np.array_equal(bits.Reader(b"".join(bits.pack([(values, widths)]))).take(widths), values)


def test_fields_beyond_the_end_are_refused() -> None:
    with pytest.raises(PayloadError, match="end early"):
        bits.Reader(b"\xff").take(np.array([5, 4], np.uint8))


@pytest.mark.parametrize("data", [b"\xff", b"\xf0\x00", b"\xf8"], ids=["ones", "a byte", "one bit"])
def test_what_is_left_over_is_refused(data: bytes) -> None:
    reader = bits.Reader(data)
    reader.take(np.array([4], np.uint8))
    with pytest.raises(PayloadError, match="do not end"):
        reader.finish()
