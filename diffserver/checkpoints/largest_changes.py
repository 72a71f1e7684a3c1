"""Find the largest changes of all tensors together, and hold no others: a model has more changes than fit in memory.

Sizes are positive fp32 numbers, whose bits have their order. They are counted by their upper halves first, then within
the one where the smallest of the sought ones lies. Of changes of the same size the first are taken, in the order of the
table and of positions. What becomes of them is left to `nearest_sparse`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import chunks
from diffserver.checkpoints.quantise import Candidates, WantedChange, joined

Counts = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

HALF = 1 << 16
ROOM = 1.25
"""How many more changes are held than were asked for, since soon more will be."""


@dataclass(frozen=True, eq=False)
class Largest:
    """The largest changes: for each tensor, in order of positions; None where none can be wanted."""

    tensors: Sequence[Candidates | None]
    sizes: Sizes
    """All their sizes, the largest first."""

    def masks(self, count: int) -> Iterator[Mask]:
        """Yield for every tensor that may change a mask of the largest `count` changes; of equal ones, the first."""
        least = float(self.sizes[count - 1]) if count else math.inf
        ties = count - (len(self.sizes) - int(np.searchsorted(self.sizes[::-1], least, side="right")))
        for tensor in filter(None, self.tensors):
            mask, used = _chosen(tensor.sizes, least, ties)
            ties -= used
            yield mask


class Changes:
    """The changes wanted of all tensors."""

    def __init__(self, tensors: Sequence[WantedChange | None]) -> None:
        self.tensors = tensors
        self._counts = np.zeros(HALF + 1, np.int64)
        for part in self._parts():
            self._counts += np.bincount(_upper(part.sizes), minlength=HALF + 1)
        self._held = Largest([None] * len(tensors), np.empty(0, np.float32))

    @property
    def count(self) -> int:
        """How many weights are to change."""
        return self.above(0.0)

    def above(self, size: float) -> int:
        """Return how many changes are larger than a number of at most eight significant bits."""
        return int(self._counts[int(np.float32(size).view(np.uint32)) // HALF + 1 :].sum())

    def largest(self, count: int) -> Largest:
        """Return at least the largest `count` changes, or all, which are found anew only if too few are held."""
        if count > len(self._held.sizes):
            self._held = Largest([], np.empty(0, np.float32))  # its memory is needed
            self._held = self._find(min(self.count, int(ROOM * count)))
        return self._held

    def _find(self, count: int) -> Largest:
        least, ties = self._border(count)
        tensors: list[Candidates | None] = []
        for wanted in self.tensors:
            parts = []
            for part in _parts(wanted):
                mask, used = _chosen(part.sizes, least, ties)
                ties -= used
                parts.append(part.only(mask))
            tensors.append(joined(parts) if parts else None)
        sizes = np.concatenate([np.empty(0, np.float32), *(tensor.sizes for tensor in tensors if tensor)])
        sizes.sort()
        return Largest(tensors, sizes[::-1])

    def _border(self, count: int) -> tuple[float, int]:
        """Return the size of the change number `count`, and how many of that very size are among the largest."""
        reached = np.cumsum(self._counts[::-1])
        upper = HALF - int(np.searchsorted(reached, count))
        lower = np.zeros(HALF, np.int64)
        for part in self._parts():
            sizes = part.sizes
            bits = sizes[_upper(sizes) == upper].view(np.uint32)
            lower += np.bincount((bits - np.uint32(1)) % HALF, minlength=HALF)
        beyond = int(reached[HALF - upper]) - int(lower.sum())
        reached_within = beyond + np.cumsum(lower[::-1])
        place = HALF - 1 - int(np.searchsorted(reached_within, count))
        ties = count - int(reached_within[HALF - 1 - place] - lower[place])
        return float(np.uint32((upper - 1) * HALF + place + 1).view(np.float32)), ties

    def _parts(self) -> Iterator[Candidates]:
        return chain.from_iterable(map(_parts, self.tensors))


def _parts(wanted: WantedChange | None) -> Iterator[Candidates]:
    """Yield all changes of a tensor, chunk by chunk."""
    if wanted:
        yield from (wanted.part(*chunk) for chunk in chunks(wanted.size))


def _chosen(sizes: Sizes, least: float, ties: int) -> tuple[Mask, int]:
    """Return a mask of sizes above `least` and the first `ties` of just that size, and how many those are."""
    mask = sizes > least
    equal = np.flatnonzero(sizes == least)[:ties]
    mask[equal] = True
    return mask, len(equal)


def _upper(sizes: Sizes) -> Counts:
    """Return the upper halves of bits, rounded up; so only 0 has 0, and sizes of few bits are the largest of theirs."""
    return (sizes.view(np.uint32).astype(np.int64) + HALF - 1) // HALF
