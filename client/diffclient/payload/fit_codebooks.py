"""Fit codebooks to numbers: choose their ranges and frequencies, and cluster similar tensors to share one.

A codebook of its own makes a tensor's numbers shorter and the records longer. Only encoders need this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffclient.payload.codebook import BEYOND, LOWEST, RANGE_LIMIT, TOTAL, WIDTH_LIMIT, Codebook, Integers

Counts = npt.NDArray[np.int64]
Bits = npt.NDArray[np.float64]

_MANY = 1 << 10
"""Numbers from which on it may be quicker to count each than to search for its range."""

_BATCH = 1 << 20
"""Numbers that are counted together."""

_ENTRY_BITS = 10
"""Approximate bits of a codebook's range in the records."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Numbers and, if they are close together, how many of them there are below each."""

    numbers: Integers
    low: int = 0
    below: Counts | None = None
    """At n, how many are less than `low` + n; None if the numbers are few or far apart."""

    @staticmethod
    def of(numbers: Integers) -> Tally:
        """Count numbers one by one if that is quicker than to search for the range of each: several times."""
        low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) >= _MANY else (0, _MANY)
        if high - low > len(numbers):
            return Tally(numbers)
        below = np.zeros(high - low + 2, np.int64)
        np.cumsum(np.bincount(numbers - low), out=below[1:])
        return Tally(numbers, low, below)


@dataclass(frozen=True, eq=False)
class Ranges:
    """Consecutive ranges of integers without frequencies."""

    bases: Integers
    widths: tuple[int, ...]

    def count(self, numbers: Integers) -> Counts:
        """Return how many of the numbers fall into each range; all must lie in one."""
        return self.count_of(Tally.of(numbers))

    def count_of(self, tally: Tally) -> Counts:
        """Return how many of the numbers of a tally fall into each range."""
        if tally.below is None:
            return np.bincount(np.searchsorted(self.bases, tally.numbers, "right") - 1, minlength=len(self.bases))
        ends = (self.bases[1:] - tally.low).clip(0, len(tally.below) - 1)
        counts: Counts = np.diff(tally.below[ends], prepend=0, append=len(tally.numbers))
        return counts

    def bits(self, counts: Counts) -> float:
        """Return the bits of numbers with these counts: the entropy of the ranges and the extra bits."""
        return float(entropy(counts) + counts @ np.array(self.widths))

    def codebook(self, counts: Counts) -> Codebook:
        """Return the codebook for numbers with these counts, not all of which are 0."""
        used = np.flatnonzero(counts)
        first, last = int(used[0]), int(used[-1]) + 1
        return Codebook(int(self.bases[first]), self.widths[first:last], frequencies(counts[first:last]))


def ranges(low: int, high: int, detail: int) -> Ranges:
    """Return ranges over low … high: each octave of magnitudes in 2^detail equal parts, small ones in single numbers.

    A density that falls like a Laplacian's or Gaussian's is nearly even within such a range.
    """
    spans = [(0, 0), (-1, 0)]
    for octave in range(max(high, ~low).bit_length()):
        width = max(0, octave - detail)
        for magnitude in range(1 << octave, 2 << octave, 1 << width):
            spans += [(magnitude, width), (-magnitude - (1 << width), width)]
    spans = sorted((base, width) for base, width in spans if base <= high and base + (1 << width) > low)
    return Ranges(np.array([base for base, _ in spans], np.int64), tuple(width for _, width in spans))


def finest(low: int, high: int) -> Ranges:
    """Return the finest ranges over low … high that a codebook can hold."""
    detail = 7
    while (candidate := ranges(low, high, detail)) and len(candidate.widths) > RANGE_LIMIT:
        detail -= 1
    return candidate


def single(low: int, high: int) -> Ranges:
    """Return one range over low … high, which codes numbers as plain bits; two, if one would be too wide."""
    width = (high - low).bit_length()
    if width > WIDTH_LIMIT:
        return Ranges(np.array([LOWEST, 0], np.int64), (WIDTH_LIMIT, WIDTH_LIMIT))
    return Ranges(np.array([min(low, BEYOND - (1 << width))], np.int64), (width,))


def entropy(counts: Counts) -> Bits:
    """Return the entropy in bits of symbols with these counts along the last axis: the sum of -c log2(c / total)."""
    bits: Bits = _times_log2(counts.sum(-1)) - _times_log2(counts).sum(-1)
    return bits


def _times_log2(counts: Counts) -> Bits:
    return np.asarray(counts * np.log2(np.maximum(counts, 1)))


def frequencies(counts: Counts) -> tuple[int, ...]:
    """Return counts scaled to a sum of 4096 for about the shortest code; used symbols keep at least 1."""
    ideal = counts * (TOTAL / counts.sum())
    scaled = np.where(counts > 0, np.maximum(1, np.rint(ideal)), 0).astype(np.int64)
    while (excess := int(scaled.sum()) - TOTAL) != 0:
        step = 1 if excess > 0 else -1
        # What one slot less (or more) costs: the count over the frequency, in units of 1 / ln 2.
        movable = scaled > max(step, 0)
        cost = np.where(movable, step * counts / np.maximum(scaled, 1), np.inf)
        at_once = max(1, min(abs(excess), len(counts) // 8, np.count_nonzero(movable)))
        scaled[np.argsort(cost, kind="stable")[:at_once]] -= step
    return tuple(map(int, scaled))


def price(counts: Counts) -> float:
    """Return about how many bits a codebook for these counts takes in the records."""
    return _ENTRY_BITS * (2.0 + np.count_nonzero(counts))


def suited(candidates: Sequence[Ranges], parts: Iterable[Integers]) -> Ranges:
    """Return the candidate that codes numbers, given in parts, in the fewest bits, its codebook included."""
    counts = [np.zeros(len(within.bases), np.int64) for within in candidates]
    for part in _batched(parts):
        _add(counts, candidates, Tally.of(part))
    bits = [w.bits(counted) + price(counted) for w, counted in zip(candidates, counts, strict=True)]
    return candidates[bits.index(min(bits))]


def _add(counts: Sequence[Counts], candidates: Sequence[Ranges], tally: Tally) -> None:
    for within, counted in zip(candidates, counts, strict=True):
        counted += within.count_of(tally)


def _batched(parts: Iterable[Integers]) -> Iterator[Integers]:
    """Join short parts: a model of small tensors has many."""
    batch, count = [np.empty(0, np.int64)], 0
    for part in parts:
        batch.append(part)
        count += len(part)
        if count >= _BATCH:
            yield np.concatenate(batch)
            batch, count = [], 0
    if batch:
        yield np.concatenate(batch)


def cluster(histograms: Sequence[Counts], thrift: float = 1.0) -> tuple[list[int], list[Counts]]:
    """Put histograms over the same ranges into groups; return each histogram's group, and the groups' sums.

    Greedy, the largest first: each joins the group that costs the fewest extra bits, or founds one if that is cheaper.
    A larger `thrift` makes fewer groups.
    """
    groups: list[Counts] = []
    bits: list[float] = []
    member = [0] * len(histograms)
    for index in sorted(range(len(histograms)), key=lambda index: -int(histograms[index].sum())):
        own = histograms[index]
        nothing = np.zeros_like(own)
        joined = entropy(np.array([*groups, nothing]) + own)
        losses = joined - np.array([*bits, -thrift * price(own)])  # the last one's: alone
        member[index] = nearest = int(losses.argmin())
        if nearest == len(groups):
            groups.append(nothing)
            bits.append(0.0)
        groups[nearest] = groups[nearest] + own
        bits[nearest] = float(joined[nearest])
    return member, groups
