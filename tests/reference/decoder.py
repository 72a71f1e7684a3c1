"""Decode a payload to numbers, rule by rule in the order of docs/format.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.reference.coding import Codebook, ExtraBits, Symbols, demand
from tests.reference.records import (
    BITS,
    EXACT,
    HASHED,
    Layout,
    Tensor,
    blocks_of,
    chunks,
    content_limit,
    decompress,
    read_records,
    split,
)


class Stream(NamedTuple):
    """The changes of one tensor."""

    step: int
    exponent: int
    alpha: int
    """exact: the factor by which the weights are scaled first."""
    numbers: dict[int, int]
    """sparse: level of every position that has one; exact: difference of ordinals."""
    levels: list[int]
    """hashed: level of every bucket."""


class Payload(NamedTuple):
    """A payload that follows every rule."""

    kind: int
    alpha: int
    beta: int
    seed: int
    streams: tuple[Stream | None, ...]
    table: tuple[Tensor, ...]
    """The table of the version that it makes."""
    nonfinite: bool
    """Whether exact may make infinities and NaN off the grid."""


def decode(data: bytes, table: Sequence[Tensor], parent_digest: str) -> Payload:
    """Read a payload for this table and parent; raises PayloadError, PayloadTooNew, WrongParent."""
    header = split(data, len(table), parent_digest)
    records, symbols, bits = header.sections
    layouts = read_records(decompress(records, content_limit(table)), table, header.kind, header.version)
    after = tuple(
        tensor if layout is None else tensor._replace(grid=layout.grid)
        for tensor, layout in zip(table, layouts, strict=True)
    )
    nothing = all(layout is None for layout in layouts)
    demand((header.lanes == 0) == nothing, "lanes and touched tensors do not go together")
    coder = Coder(Symbols(symbols, header.lanes), ExtraBits(bits))
    streams = tuple(
        None if layout is None else stream(coder, tensor, layout, header.kind)
        for tensor, layout in zip(after, layouts, strict=True)
    )
    coder.symbols.end()
    coder.bits.end()
    return Payload(header.kind, header.alpha, header.beta, header.seed, streams, after, header.version >= 3)


class Coder(NamedTuple):
    """The two sections that are read sequentially, tensor by tensor."""

    symbols: Symbols
    bits: ExtraBits

    def numbers(self, book: Codebook, count: int) -> list[int]:
        """Read a run, then its extra bits."""
        return self.integers(book, self.symbols.run(book, count))

    def integers(self, book: Codebook, symbols: Sequence[int]) -> list[int]:
        return [book.starts[symbol] + self.bits.field(book.widths[symbol]) for symbol in symbols]


def stream(coder: Coder, tensor: Tensor, layout: Layout, kind: int) -> Stream:
    """Read one tensor's stream."""
    numbers, levels = {}, []
    if kind == HASHED:
        levels = coder.numbers(layout.books[0][0], layout.counts[0])
    else:
        numbers = dict(changes(coder, tensor, layout))
    for value in levels or numbers.values():
        check_value(value, tensor, layout, kind)
    return Stream(layout.step, layout.exponent, layout.alpha, numbers, levels)


def changes(coder: Coder, tensor: Tensor, layout: Layout) -> Iterator[tuple[int, int]]:
    """Yield a tensor's positions with their numbers, chunk by chunk and class by class."""
    counts = iter(layout.counts)
    for start, length in chunks(tensor.size):
        dealt: list[list[int]] = [[] for _ in range(layout.classes)]
        for block in range(blocks_of(length, layout.block)):
            dealt[layout.class_of(start // layout.block + block)].append(block)
        for blocks, books in zip(dealt, layout.books, strict=True):
            count = next(counts)
            demand(count <= len(blocks), "more blocks hold a change than there are")
            if count == 0:
                continue
            every_weight = layout.block == 1 and not layout.columns and count == len(blocks)
            gaps = [0] * count if count == len(blocks) else coder.numbers(books[0], count)
            changed_blocks = [blocks[number] for number in numbers_of(gaps, len(blocks))]
            for position, value in plain(coder, books, changed_blocks) if layout.block == 1 else patterned(
                coder, books, changed_blocks, layout.block
            ):  # fmt: skip
                demand(position < length, "a pattern leads beyond the chunk")
                demand(value != 0 or every_weight, "a change of 0")
                yield start + position, value


def numbers_of(gaps: Sequence[int], total: int) -> Iterator[int]:
    """Return the indices of the changed blocks among `total`."""
    number = -1
    for gap in gaps:
        number += gap + 1
        demand(number < total, "a gap leads beyond the last block")
        yield number


def plain(coder: Coder, books: Sequence[Codebook], blocks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """B = 1: a block is a weight."""
    return zip(blocks, coder.numbers(books[1], len(blocks)), strict=True)


def patterned(coder: Coder, books: Sequence[Codebook], blocks: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """B > 1: patterns say which weights of a block change; a value's context is what precedes it in its block."""
    places: list[tuple[int, int]] = []  # of each weight that changes: position in the chunk and context
    for block, pattern in zip(blocks, coder.numbers(books[1], len(blocks)), strict=True):
        changed = [place for place in range(size) if pattern >> place & 1]
        for place in changed:
            context = 0 if place == changed[0] else 1 if place - 1 in changed else 2
            places.append((block * size + place, context))
    of_context = [sum(context == wanted for _, context in places) for wanted in range(3)]
    runs = [coder.symbols.run(book, count) for book, count in zip(books[2:], of_context, strict=True)]
    values = [iter(coder.integers(book, run)) for book, run in zip(books[2:], runs, strict=True)]
    value = 0
    for position, context in places:
        number = next(values[context])
        value = -number if context != 0 and value < 0 else number
        yield position, value


def check_value(value: int, tensor: Tensor, layout: Layout, kind: int) -> None:
    if kind == EXACT and tensor.grid is None:
        half = 1 << BITS[tensor.dtype] - 1
        demand(-half <= value < half, "a difference that the dtype has no bits for")
    else:
        limit = 1 << (24 if tensor.half else 25)
        demand(abs(value * layout.step) <= limit, "a value too large")
