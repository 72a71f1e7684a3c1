"""Split a stream into the runs that are coded of each chunk: gaps, patterns and values.

Changed weights are located by block: gaps lead from one changed block to the next, a pattern says which weights of a
block change. A block as long as a convolution's kernel covers the weights that change together. Joining the runs is
left to `read_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Hashed, Positioned, Positions, Stream, chunks, numbers
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


def cut(stream: Stream, size: int, block: int, classes: Classes | None = None) -> Iterator[tuple[Cut, ...]]:
    """Yield the runs of each class for each chunk of a tensor of `size` weights, in blocks of `block` weights.

    Buckets are one run.
    """
    if isinstance(stream, Hashed):
        yield (Cut(len(stream.levels), (numbers(stream),)),)
        return
    for start, stop in chunks(size):
        positions, values = stream.part(start, stop)
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
    places, totals = positions // block, np.bincount(class_of, minlength=count)
    # Sorted by class, a block's rank is its distance from the first of its class.
    ranks = np.empty(len(class_of), np.int64)
    ranks[_by_class(class_of)] = np.arange(len(class_of))
    own_class = class_of[places]
    order, ends = _by_class(own_class), np.cumsum(np.bincount(own_class, minlength=count))[:-1]
    own_ranks = ranks[places] - (np.cumsum(totals) - totals)[own_class]
    pieces = (np.split(numbers[order], ends) for numbers in (positions, values, own_ranks))
    for total, where, what, ranked in zip(totals, *pieces, strict=True):
        yield _cut(where, what, ranked, int(total), block)


def _by_class(class_of: Numbers) -> Positions:
    """Return the order by class; of bytes it is a radix sort."""
    return np.argsort(class_of, kind="stable")


def changed_blocks(stream: Positioned, size: int, block: int) -> Iterator[Positions]:
    """Yield for each chunk the numbers of the blocks that hold a change."""
    for start, stop in chunks(size):
        places = stream.part(start, stop)[0] // block
        yield places[_firsts(places)] + start // block


def _cut(positions: Positions, values: Integers, places: Positions, total: int, block: int) -> Cut:
    """Return the runs of changes whose blocks are at `places` among `total`."""
    if block == 1:
        return Cut(len(places), (_gaps(places, total), values))
    begins = _firsts(places)
    changed = places[begins]
    patterns = np.add.reduceat(1 << (positions % block), begins) if len(begins) else _NOTHING
    context = contexts(positions, places)
    signs = np.where(context > 0, np.sign(np.roll(values, 1)), 1)
    by_context = ((values * signs)[context == number] for number in range(3))
    return Cut(len(changed), (_gaps(changed, total), patterns, *by_context))


def _firsts(places: Positions) -> Positions:
    """Return the index of each number's first occurrence in sorted numbers."""
    return np.flatnonzero(np.diff(places, prepend=-1))


def _gaps(places: Positions, total: int) -> Integers:
    return _NOTHING if len(places) == total else np.diff(places, prepend=-1) - 1
