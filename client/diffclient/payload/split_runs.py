"""Split a stream into the runs that are coded of each chunk: gaps, patterns and values.

Changed weights are located by block: gaps lead from one changed block to the next, a pattern says which weights of a
block change. A block as long as a convolution's kernel covers the weights that change together. Joining the runs is
left to `read_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Exact, Positions, Sparse, chunks, numbers
from diffclient.payload.block_classes import Classes, Numbers
from diffclient.payload.codebook import Integers
from diffclient.payload.read_runs import contexts
from diffclient.payload.records import blocks

_NOTHING: Integers = np.empty(0, np.int64)
_DENSE = 0.5
"""Where a larger share of a chunk changes, every weight gets a value: fewer symbols, and as many bits."""


@dataclass(frozen=True, eq=False)
class Cut:
    """The runs of one class of blocks in a chunk."""

    count: int
    """Blocks of the class that hold a change; all of them in the dense form."""
    runs: tuple[Integers, ...]
    """Gaps, patterns if blocks have more than one weight, values: one run, or three by context."""


def cut(stream: Sparse | Exact, size: int, block: int, classes: Classes | None = None) -> Iterator[tuple[Cut, ...]]:
    """Yield the runs of each class for each chunk of a tensor of `size` weights, in blocks of `block` weights."""
    coded = numbers(stream)
    for start, stop in chunks(size):
        first, last = np.searchsorted(stream.positions, (start, stop))
        positions, values = stream.positions[first:last] - start, coded[first:last]
        total = blocks(start, stop, block)
        if classes is not None:
            class_of = classes.of(start // block, start // block + total)
            yield tuple(_cut_classes(positions, values, block, class_of, classes.count))
        elif block == 1 and len(positions) > _DENSE * total:
            dense = np.zeros(total, np.int64)
            dense[positions] = values
            yield (Cut(total, (_NOTHING, dense)),)
        else:
            yield (_cut(positions, values, positions // block, total, block),)


def _cut_classes(positions: Positions, values: Integers, block: int, class_of: Numbers, count: int) -> Iterator[Cut]:
    places = positions // block
    for number in range(count):
        members = class_of == number
        in_class = members[places]
        ranks = np.cumsum(members) - 1
        total = int(np.count_nonzero(members))
        yield _cut(positions[in_class], values[in_class], ranks[places[in_class]], total, block)


def _cut(positions: Positions, values: Integers, places: Positions, total: int, block: int) -> Cut:
    """Return the runs of changes whose blocks are at `places` among `total`."""
    if block == 1:
        return Cut(len(places), (_gaps(places, total), values))
    begins = firsts(places)
    changed = places[begins]
    patterns = np.add.reduceat(1 << (positions % block), begins) if len(begins) else _NOTHING
    context = contexts(positions, places)
    signs = np.where(context > 0, np.sign(np.roll(values, 1)), 1)
    by_context = ((values * signs)[context == number] for number in range(3))
    return Cut(len(changed), (_gaps(changed, total), patterns, *by_context))


def firsts(places: Positions) -> Positions:
    """Return the index of each number's first occurrence in sorted numbers."""
    return np.flatnonzero(np.diff(places, prepend=-1))


def _gaps(places: Positions, total: int) -> Integers:
    return _NOTHING if len(places) == total else np.diff(places, prepend=-1) - 1
