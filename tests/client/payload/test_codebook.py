from __future__ import annotations

import numpy as np
import pytest

from diffclient.payload.codebook import TOTAL, Codebook

BOOK = Codebook(-2, (0, 0, 3, 1), (1, TOTAL - 101, 0, 100))


def test_ranges_follow_each_other() -> None:
    assert BOOK.bases.tolist() == [-2, -1, 0, 8]
    assert BOOK.end == 10
    assert BOOK.flaw is None


def test_every_number_has_the_symbol_of_its_range() -> None:
    assert BOOK.symbols(np.arange(-2, 10)).tolist() == [0, 1, *[2] * 8, 3, 3]


@pytest.mark.parametrize("wide", [17, 18])
def test_symbols_are_listed_or_searched_for(wide: int) -> None:
    book = Codebook(-(1 << 17), (wide, 0, 1), (1000, 0, TOTAL - 1000))
    last = -(1 << 17) + (1 << wide)
    assert book.symbols(np.array([-(1 << 17), last - 1, last, last + 1, last + 2])).tolist() == [0, 0, 1, 2, 2]


def test_every_slot_knows_its_symbol_and_what_decoding_needs() -> None:
    slots = BOOK.slots.astype(int)
    symbols = slots & 0xFF
    assert np.bincount(symbols, minlength=4).tolist() == list(BOOK.frequencies)
    assert np.array_equal((slots >> 20) + 1, np.array(BOOK.frequencies)[symbols])
    assert np.array_equal((slots >> 8 & 0xFFF) + BOOK.starts[symbols], np.arange(TOTAL))


def test_one_range_may_take_every_slot() -> None:
    assert set(Codebook(5, (0,), (TOTAL,)).slots.tolist()) == {(TOTAL - 1) << 20 | at << 8 for at in range(TOTAL)}


@pytest.mark.parametrize(
    ("book", "flaw"),
    [
        pytest.param(Codebook(0, (), ()), "no ranges", id="empty"),
        pytest.param(Codebook(0, (0,) * 257, (16,) * 256 + (0,)), "too many", id="257 ranges"),
        pytest.param(Codebook(0, (0, 0), (TOTAL,)), "no ranges", id="a frequency missing"),
        pytest.param(Codebook(0, (64,), (TOTAL,)), "outside 64 bits", id="wide range"),
        pytest.param(Codebook(1, (63,), (TOTAL,)), "outside 64 bits", id="range past the end"),
        pytest.param(Codebook(-(1 << 63) - 1, (0,), (TOTAL,)), "outside 64 bits", id="range before the beginning"),
        pytest.param(Codebook(0, (0, 0), (TOTAL, 1)), "add up", id="too much"),
        pytest.param(Codebook(0, (0, 0), (1, 1)), "add up", id="too little"),
        pytest.param(Codebook(0, (0, 0), (0, TOTAL)), "unused", id="unused first"),
        pytest.param(Codebook(0, (0, 0), (TOTAL, 0)), "unused", id="unused last"),
    ],
)
def test_flaws_are_named(book: Codebook, flaw: str) -> None:
    assert book.flaw is not None
    assert flaw in book.flaw
