"""Read the numbers of a payload: LEB128, codebooks, the interleaved range coder, extra bits."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NoReturn


class Refused(Exception):
    """A payload that must not be applied; the subclasses have the names of the client's errors."""


class PayloadError(Refused):
    """Bytes that are not a payload for this table."""


class PayloadTooNew(PayloadError):
    """A format version or a kind that is not known here."""


class WrongParent(Refused):
    """A diff for another version."""


class RangeError(Refused):
    """A weight that the diff would make is not allowed."""


def refuse(why: str) -> NoReturn:
    raise PayloadError(why)


def demand(holds: bool, why: str) -> None:
    if not holds:
        refuse(why)


class Numbers:
    """The content of the records: LEB128 in its shortest spelling, at most 64 bits."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            demand(self._at < len(self._data), "the records end early")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            demand(shift < 64 and value < 1 << 64, "a number of more than 64 bits")
            if byte < 0x80:
                demand(byte != 0 or shift == 0, "a number in more bytes than it needs")
                return value
            shift += 7

    def signed(self) -> int:
        """Zigzag: 0, -1, 1, -2 … are 0, 1, 2, 3 …"""
        number = self.unsigned()
        return number >> 1 if number % 2 == 0 else -(number >> 1) - 1

    def within(self, low: int, high: int, what: str) -> int:
        number = self.unsigned()
        demand(low <= number <= high, f"{what} {number} is not from {low} to {high}")
        return number

    def end(self) -> None:
        demand(self._at == len(self._data), "the records go on after their end")


@dataclass(frozen=True)
class Codebook:
    """Range i begins at starts[i] and has 2^widths[i] integers; its symbol has frequencies[i] of 4096 slots."""

    starts: tuple[int, ...]
    widths: tuple[int, ...]
    frequencies: tuple[int, ...]
    slots: tuple[int, ...]
    """4096 symbols: the symbol of each value of x mod 4096."""
    below: tuple[int, ...]
    """C of each symbol: the sum of the frequencies before it."""


def read_codebook(numbers: Numbers) -> Codebook:
    ranges = numbers.within(1, 256, "number of ranges")
    starts, start = [], numbers.signed()
    widths = tuple(numbers.within(0, 63, "width") for _ in range(ranges))
    for width in widths:
        starts.append(start)
        start += 1 << width
    demand(start <= 1 << 63, "a range ends above 2^63")
    frequencies = tuple(numbers.within(0, 4096, "frequency") for _ in range(ranges))
    demand(sum(frequencies) == 4096, "the frequencies do not add up to 4096")
    demand(frequencies[0] != 0 and frequencies[-1] != 0, "the first or the last range is never used")
    slots = tuple(symbol for symbol, frequency in enumerate(frequencies) for _ in range(frequency))
    below = tuple(sum(frequencies[:symbol]) for symbol in range(ranges))
    return Codebook(tuple(starts), widths, frequencies, slots, below)


class Symbols:
    """The symbols section: a state for every lane, then the words that refill them."""

    def __init__(self, section: bytes, lanes: int) -> None:
        words = len(section) - 4 * lanes
        demand(words >= 0 and words % 2 == 0, "the symbols are not 4 bytes a lane and then words of 2")
        self._states: list[int] = list(struct.unpack_from(f"<{lanes}I", section))
        self._words: list[int] = list(struct.unpack_from(f"<{words // 2}H", section, 4 * lanes))
        self._used = 0
        demand(all(state >= 1 << 16 for state in self._states), "a lane begins below 2^16")

    def run(self, book: Codebook, count: int) -> list[int]:
        """The next `count` symbols, all of one codebook: the first from lane 0, and so on around."""
        return [self._symbol(book, position % len(self._states)) for position in range(count)]

    def _symbol(self, book: Codebook, lane: int) -> int:
        high, low = divmod(self._states[lane], 4096)
        symbol = book.slots[low]
        state = book.frequencies[symbol] * high + low - book.below[symbol]
        if state < 1 << 16:
            demand(self._used < len(self._words), "the symbols end early")
            state = state << 16 | self._words[self._used]
            self._used += 1
        self._states[lane] = state
        return symbol

    def end(self) -> None:
        demand(self._used == len(self._words), "words are left over")
        demand(all(state == 1 << 16 for state in self._states), "a lane does not end at 2^16")


class ExtraBits:
    """Fields of 0 to 63 bits, the most significant bit of each field and of each byte first."""

    def __init__(self, section: bytes) -> None:
        self._section = section
        self._at = 0

    def field(self, width: int) -> int:
        begin, end = self._at, self._at + width
        demand(end <= 8 * len(self._section), "the extra bits end early")
        covering = self._section[begin // 8 : (end + 7) // 8]
        self._at = end
        return (int.from_bytes(covering, "big") >> (-end % 8)) & ((1 << width) - 1)

    def end(self) -> None:
        padding = 8 * len(self._section) - self._at
        demand(padding < 8, "extra bits are left over")
        demand(self.field(padding) == 0, "the padding is not zero")
