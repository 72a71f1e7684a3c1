"""Codebooks: map integers to symbols of an entropy coder, by ranges that each have a frequency.

A number is the symbol of its range, and the bits that say where in the range it lies. Ranges are consecutive, so a
codebook of single numbers is a plain alphabet, and one whose ranges grow is an Elias-gamma code with learnt prefixes.
Which ranges suit what data is left to `fit_codebooks`; the coders are `rans` and `bits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

FREQUENCY_BITS = 12
TOTAL = 1 << FREQUENCY_BITS
"""The sum of a codebook's frequencies."""

RANGE_LIMIT = 256
WIDTH_LIMIT = 63
LOWEST, BEYOND = -(1 << 63), 1 << 63

_LISTED = 1 << 18
"""The most numbers whose symbols are listed one by one, which is several times as fast as a search."""


@dataclass(frozen=True)
class Codebook:
    """Consecutive ranges of integers from `low` on: range i holds 2^widths[i] of them."""

    low: int
    widths: tuple[int, ...]
    frequencies: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first integer beyond the last range."""
        return self.low + sum(1 << width for width in self.widths)

    @property
    def flaw(self) -> str | None:
        """The rule of the format that the codebook breaks; None if it is valid."""
        if not 0 < len(self.widths) == len(self.frequencies) <= RANGE_LIMIT:
            return "no ranges, or too many"
        if max(self.widths) > WIDTH_LIMIT or self.low < LOWEST or self.end > BEYOND:
            return "ranges outside 64 bits"
        if sum(self.frequencies) != TOTAL or max(self.frequencies) > TOTAL:
            return f"frequencies that do not add up to {TOTAL}"
        if not self.frequencies[0] or not self.frequencies[-1]:
            return "an unused range at an end"
        return None

    @cached_property
    def bases(self) -> Integers:
        """int64[m], the first integer of each range."""
        begins, base = [], self.low
        for width in self.widths:
            begins.append(base)
            base += 1 << width
        return np.array(begins, np.int64)

    @cached_property
    def width_of(self) -> Symbols:
        """uint8[m], the extra bits of each symbol."""
        return np.array(self.widths, np.uint8)

    @cached_property
    def has_extra_bits(self) -> bool:
        """Whether any symbol has extra bits."""
        return any(self.widths)

    @cached_property
    def starts(self) -> npt.NDArray[np.uint32]:
        """uint32[m], the first of the 4096 slots of each symbol."""
        return (np.cumsum(self.frequencies) - self.frequencies).astype(np.uint32)

    @cached_property
    def slots(self) -> npt.NDArray[np.uint32]:
        """uint32[4096], what decoding needs of each slot: frequency - 1 (12 bits), offset (12), symbol (8)."""
        frequencies = np.array(self.frequencies, np.uint32)
        symbols = np.repeat(np.arange(len(frequencies), dtype=np.uint32), frequencies)
        offsets = np.arange(TOTAL, dtype=np.uint32) - self.starts[symbols]
        return (((frequencies[symbols] - 1) << 20) | (offsets << 8) | symbols).astype(np.uint32)

    @cached_property
    def _by_number(self) -> Symbols:
        """uint8[end - low], the symbol of every number."""
        return np.repeat(np.arange(len(self.widths), dtype=np.uint8), 1 << self.width_of.astype(np.int64))

    def symbols(self, numbers: Integers) -> Symbols:
        """Return the symbol of each number, all of which lie in the ranges."""
        if self.end - self.low <= _LISTED:
            return self._by_number[numbers - self.low]
        return (np.searchsorted(self.bases, numbers, "right") - 1).astype(np.uint8)
