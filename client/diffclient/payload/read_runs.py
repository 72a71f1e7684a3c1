"""Read the symbols and extra bits of a payload as its records describe them, and check them against the table.

Memory is taken for a chunk's changes only, or for a hashed tensor's buckets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Hashed, Kind, Positions, chunks
from diffclient.errors import PayloadError
from diffclient.payload import bits, rans, records
from diffclient.payload.codebook import Codebook, Integers, Symbols
from diffclient.payload.frame import Frame
from diffclient.payload.records import Layout
from diffclient.tensors.arithmetic import LIMIT, VALUE_LIMIT
from diffclient.tensors.tensor_table import DTYPES, HALVES, TensorSpec

Changes = tuple[Positions | None, Integers]
"""A chunk's positions (None: all of its weights) and their levels or deltas."""


class Sections:
    """A sequential reader of a payload's symbols and extra bits."""

    def __init__(self, frame: Frame, books: tuple[Codebook, ...]) -> None:
        self._symbols = rans.Decoder(frame.symbols, frame.lanes)
        self._bits = bits.Reader(frame.extra_bits)
        self._books = books

    def hashed(self, spec: TensorSpec, layout: Layout) -> Hashed:
        """Return a tensor's buckets; raises PayloadError."""
        levels = self._numbers(layout.books[0], layout.counts[0])
        _check_values(spec, layout, "hashed", levels)
        return Hashed(levels.astype(np.int32), layout.step, layout.exponent)

    def positioned(self, spec: TensorSpec, layout: Layout, kind: Kind) -> Iterator[Changes | None]:
        """Yield each chunk's changes, None where it has none; raises PayloadError."""
        per_chunk = layout.classes.count if layout.classes else 1
        counts = zip(*[iter(layout.counts)] * per_chunk, strict=True)
        for (start, stop), chunk_counts in zip(chunks(spec.size), counts, strict=True):
            if not any(chunk_counts):
                yield None
                continue
            positions, values = self._chunk(spec, layout, start, stop, chunk_counts)
            _check_values(spec, layout, kind, values)
            if positions is not None and not values.all():
                raise PayloadError(f"{spec.name}: a change by nothing")
            if positions is not None and positions[-1] >= stop - start:
                raise PayloadError(f"{spec.name}: a pattern reaches beyond the tensor")
            yield positions, values

    def finish(self) -> None:
        """Raise PayloadError unless everything was read."""
        self._symbols.finish()
        self._bits.finish()

    def _chunk(self, spec: TensorSpec, layout: Layout, start: int, stop: int, counts: Sequence[int]) -> Changes:
        total = records.blocks(start, stop, layout.block)
        if layout.classes is None:
            if counts[0] == total and layout.block == 1:
                return None, self._numbers(layout.books[1], total)
            return self._changes(spec, layout, layout.books, counts[0], range(total))
        class_of = layout.classes.of(start // layout.block, start // layout.block + total)
        books = zip(*[iter(layout.books)] * (len(layout.books) // len(counts)), strict=True)
        changes = [
            self._changes(spec, layout, class_books, count, np.flatnonzero(class_of == number))
            for number, (count, class_books) in enumerate(zip(counts, books, strict=True))
            if count
        ]
        positions, values = (np.concatenate(parts) for parts in zip(*changes, strict=True))
        order = np.argsort(positions, kind="stable")
        return positions[order], values[order]

    def _changes(
        self, spec: TensorSpec, layout: Layout, books: Sequence[int], count: int, members: range | Positions
    ) -> tuple[Positions, Integers]:
        """Return the changes in `count` of the blocks `members`, which make up one class."""
        if count > len(members):
            raise PayloadError(f"{spec.name}: {count} changed blocks of {len(members)}")
        changed = np.arange(count)
        if count < len(members):
            changed = self._places(spec, books[0], count, len(members))
        if not isinstance(members, range):
            changed = members[changed]
        if layout.block == 1:
            return changed, self._numbers(books[1], count)
        patterns = self._take(books[1], count).astype(np.int64) + self._books[books[1]].low
        rows, columns = np.nonzero((patterns[:, None] >> np.arange(layout.block)) & 1)
        positions = changed[rows] * layout.block + columns
        return positions, self._in_contexts(books[2:], contexts(positions, rows))

    def _places(self, spec: TensorSpec, book: int, count: int, total: int) -> Positions:
        gaps = self._numbers(book, count)
        if int(gaps.max()) < total:  # so that the sum cannot overflow
            places = np.cumsum(gaps + 1) - 1
            if places[-1] < total:
                return places
        raise PayloadError(f"{spec.name}: a position lies outside the tensor")

    def _in_contexts(self, books: Sequence[int], context: npt.NDArray[np.uint8]) -> Integers:
        members = [np.flatnonzero(context == number) for number in range(len(books))]
        runs = [self._take(book, len(places)) for book, places in zip(books, members, strict=True)]
        values = np.empty(len(context), np.int64)
        for book, places, run in zip(books, members, runs, strict=True):
            values[places] = self._integers(book, run)
        return absolute(values, context)

    def _numbers(self, book: int, count: int) -> Integers:
        return self._integers(book, self._take(book, count))

    def _take(self, book: int, count: int) -> Symbols:
        return self._symbols.take(self._books[book], count)

    def _integers(self, number: int, symbols: Symbols) -> Integers:
        book = self._books[number]
        bases = book.bases[symbols]
        if not book.has_extra_bits:
            return bases
        integers: Integers = bases + self._bits.take(book.width_of[symbols]).view(np.int64)
        return integers


def contexts(positions: Positions, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return each change's context: 0 first of its block, 1 the weight before changed as well, 2 otherwise.

    `rows` numbers the blocks of the positions, which rise strictly.
    """
    within = np.diff(rows, prepend=-1) == 0
    adjacent = np.diff(positions, prepend=-2) == 1
    return np.where(within, np.where(adjacent, 1, 2), 0).astype(np.uint8)


def absolute(values: Integers, context: npt.NDArray[np.uint8]) -> Integers:
    """Return the values with absolute signs; outside context 0 they are given relative to the value before."""
    flips: Integers = np.cumsum(values < 0)
    first = np.flatnonzero(context == 0)
    # What the blocks before this one flipped does not count.
    before: Integers = np.repeat(flips[first] - (values[first] < 0), np.diff(first, append=len(values)))
    return np.where((flips - before) & 1, -np.abs(values), np.abs(values))


def _check_values(spec: TensorSpec, layout: Layout, kind: Kind, values: Integers) -> None:
    low, high = value_range(spec, kind, layout.step)
    if len(values) and not low <= int(values.min()) <= int(values.max()) <= high:
        raise PayloadError(f"{spec.name}: a value is out of range")


def value_range(spec: TensorSpec, kind: Kind, step: int) -> tuple[int, int]:
    """Return the least and the largest level or delta that a tensor takes."""
    if kind == "exact" and spec.grid is None:
        half = 1 << (8 * DTYPES[spec.dtype].itemsize - 1)
        return -half, half - 1
    largest = (LIMIT if spec.dtype in HALVES else VALUE_LIMIT) // step
    return -largest, largest
