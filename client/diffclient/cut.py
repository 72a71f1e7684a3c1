"""Cutting a stream into what is coded of each chunk: gaps, patterns and values. `decode` puts them together again.

Weights that change are found by block: gaps lead from one block that holds a change to the next, a pattern says which
of its weights change. Where a kernel's taps lie side by side, blocks of its length see what changes together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diffclient.codebook import Integers
from diffclient.decode import contexts
from diffclient.diff import Exact, Positions, Sparse, chunks, numbers
from diffclient.records import blocks

_NOTHING: Integers = np.empty(0, np.int64)
_DENSE = 0.5
"""Where a larger share of a chunk changes, every weight gets a value: fewer symbols, and as many bits."""


@dataclass(frozen=True, eq=False)
class Cut:
    """What is coded of one chunk."""

    count: int
    """Blocks that hold a change; all of them in the dense form."""
    gaps: Integers
    patterns: Integers
    values: tuple[Integers, ...]
    """One run, or three by context."""


def cut(stream: Sparse | Exact, size: int, block: int) -> Iterator[Cut]:
    """Yield what is coded of each chunk of a tensor of `size` weights with blocks of `block`."""
    coded = numbers(stream)
    for start, stop in chunks(size):
        first, last = np.searchsorted(stream.positions, (start, stop))
        positions, values = stream.positions[first:last] - start, coded[first:last]
        if block > 1 and len(positions):
            yield _in_blocks(positions, values, stop - start, block)
        elif len(positions) > _DENSE * (stop - start):
            dense = np.zeros(stop - start, np.int64)
            dense[positions] = values
            yield Cut(len(dense), _NOTHING, _NOTHING, (dense,))
        else:
            runs = (values,) if block == 1 else (_NOTHING,) * 3
            yield Cut(len(positions), _gaps(positions, stop - start), _NOTHING, runs)


def _in_blocks(positions: Positions, values: Integers, length: int, block: int) -> Cut:
    rows = positions // block
    places, begins = np.unique(rows, return_index=True)
    patterns = np.add.reduceat(1 << (positions % block), begins)
    context = contexts(positions, rows)
    signs = np.where(context > 0, np.sign(np.roll(values, 1)), 1)
    runs = tuple((values * signs)[context == number] for number in range(3))
    return Cut(len(places), _gaps(places, blocks(0, length, block)), patterns, runs)


def _gaps(places: Positions, total: int) -> Integers:
    return _NOTHING if len(places) == total else np.diff(places, prepend=-1) - 1
