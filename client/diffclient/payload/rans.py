"""Interleaved range-ANS coding of symbols as 16-bit words, many lanes in one numpy step.

Duda, "Asymmetric numeral systems", 2013; Giesen, "Interleaved entropy coders", 2014. Symbols are decoded in
order, run by run, so memory is bounded by a run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from diffclient.errors import PayloadError
from diffclient.payload.codebook import FREQUENCY_BITS, TOTAL, Codebook, Symbols

LANE_LIMIT = 4096

_LOWEST_STATE = 1 << 16
_SLOT = np.uint32(TOTAL - 1)
_BITS = np.uint32(FREQUENCY_BITS)
_WORD = np.uint32(16)

Run = tuple[Codebook, Symbols]


def encode(runs: list[Run], lanes: int) -> Iterator[bytes]:
    """Yield, in pieces, the states and words from which `Decoder` reads these runs, in this order.

    They are coded from the last to the first; `runs` is emptied on the way, so that words take the symbols' memory.
    """
    states = np.full(lanes, _LOWEST_STATE, np.uint32)
    words: list[npt.NDArray[np.uint16]] = []
    while runs:
        codebook, symbols = runs.pop()
        frequencies = np.array(codebook.frequencies, np.uint32)
        for start in reversed(range(0, len(symbols), lanes)):
            step = symbols[start : start + lanes]
            active, frequency = states[: len(step)], frequencies[step]
            full = active >> np.uint32(20) >= frequency
            words.append(active[full].astype("<u2"))
            active[full] >>= _WORD
            active[:] = ((active // frequency) << _BITS) + active % frequency + codebook.starts[step]
    yield states.astype("<u4").tobytes()
    while words:
        yield words.pop().tobytes()


class Decoder:
    """A decoder of the runs of symbols that `encode` encoded."""

    def __init__(self, data: bytes | memoryview, lanes: int) -> None:
        """Read the lanes' states; raises PayloadError unless `data` begins with that many."""
        if len(data) < 4 * lanes or len(data) % 2:
            raise PayloadError("truncated: the symbols end early")
        self._states = np.frombuffer(data, "<u4", lanes).astype(np.uint32)
        self._words = np.frombuffer(data, "<u2", offset=4 * lanes)
        self._at = 0
        if lanes and int(self._states.min()) < _LOWEST_STATE:
            raise PayloadError("a lane of the symbols begins in an impossible state")

    def take(self, codebook: Codebook, count: int) -> Symbols:
        """Return the next `count` symbols, uint8; raises PayloadError if the words do not suffice."""
        symbols = np.empty(count, np.uint8)
        lanes = len(self._states)
        if count and not lanes:
            raise PayloadError("symbols without lanes")
        for start in range(0, count, lanes or 1):
            step = symbols[start : start + lanes]
            self._step(codebook.slots, self._states[: len(step)], step)
        return symbols

    def finish(self) -> None:
        """Raise PayloadError unless the symbols end here."""
        if self._at != len(self._words) or np.any(self._states != _LOWEST_STATE):
            raise PayloadError("the symbols do not end where the records say")

    def _step(self, slots: npt.NDArray[np.uint32], states: npt.NDArray[np.uint32], out: Symbols) -> None:
        slot = slots[states & _SLOT]
        out[:] = slot  # the low 8 bits
        states >>= _BITS
        states *= (slot >> np.uint32(20)) + np.uint32(1)
        states += (slot >> np.uint32(8)) & _SLOT
        low = (states < _LOWEST_STATE).nonzero()[0]
        words = self._words[self._at : self._at + len(low)]
        if len(words) < len(low):
            raise PayloadError("truncated: the symbols end early")
        states[low] = (states[low] << _WORD) | words
        self._at += len(low)
