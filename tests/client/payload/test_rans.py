from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import PayloadError
from diffclient.payload import rans
from diffclient.payload.codebook import TOTAL, Codebook
from diffclient.payload.fit_codebooks import entropy, frequencies


def run(rng: np.random.Generator, count: int, symbols: int) -> rans.Run:
    """A codebook and so many symbols, some of them frequent."""
    counts = np.maximum(1, rng.exponential(100, symbols) ** 2).astype(np.int64)
    drawn = rng.choice(symbols, count, p=counts / counts.sum()).astype(np.uint8)
    return Codebook(0, (0,) * symbols, frequencies(counts)), drawn


def encoded(runs: Sequence[rans.Run], lanes: int) -> bytes:
    return b"".join(rans.encode([*runs], lanes))


@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 256)), max_size=5),
    st.sampled_from([1, 2, 7, 64, 4096]),
)
def test_runs_come_back(seed: int, shapes: list[tuple[int, int]], lanes: int) -> None:
    rng = np.random.default_rng(seed)
    runs = [run(rng, count, symbols) for count, symbols in shapes]
    decoder = rans.Decoder(encoded(runs, lanes), lanes)
    for book, symbols in runs:
        assert np.array_equal(decoder.take(book, len(symbols)), symbols)
    decoder.finish()


@pytest.mark.parametrize("symbols", [2, 15, 256])
def test_the_code_is_as_long_as_the_entropy(symbols: int) -> None:
    book, drawn = run(np.random.default_rng(symbols), 200_000, symbols)
    limit = entropy(np.bincount(drawn, minlength=symbols))
    assert 8 * len(encoded([(book, drawn)], 16)) < 1.005 * limit + 32 * 16


def test_a_symbol_that_is_certain_takes_nothing() -> None:
    certain = Codebook(0, (0,), (TOTAL,))
    assert len(encoded([(certain, np.zeros(100_000, np.uint8))], 4)) == 4 * 4


BOOK, SYMBOLS = run(np.random.default_rng(1), 1000, 15)
DATA = encoded([(BOOK, SYMBOLS)], 4)


@pytest.mark.parametrize("length", [0, 3, 15, 16, len(DATA) - 2, len(DATA) - 1])
def test_truncated_symbols_are_refused(length: int) -> None:
    with pytest.raises(PayloadError, match="end early"):
        rans.Decoder(DATA[:length], 4).take(BOOK, len(SYMBOLS))


@pytest.mark.parametrize(
    ("data", "count"), [(DATA + b"\0\0", 1000), (DATA, 999), (DATA, 0)], ids=["words left", "a symbol left", "all left"]
)
def test_what_is_left_over_is_refused(data: bytes, count: int) -> None:
    decoder = rans.Decoder(data, 4)
    decoder.take(BOOK, count)
    with pytest.raises(PayloadError, match="do not end"):
        decoder.finish()


def test_impossible_states_are_refused() -> None:
    with pytest.raises(PayloadError, match="impossible"):
        rans.Decoder(b"\xff\xff\0\0" + DATA[4:], 4)


def test_symbols_need_lanes() -> None:
    with pytest.raises(PayloadError, match="without lanes"):
        rans.Decoder(b"", 0).take(BOOK, 1)
