"""Turn the changes of each tensor into a payload's fields: blocks, gaps, patterns, contexts, codebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.reference.records import EXACT, HASHED, ONE, Layout, Tensor, blocks_of, chunks
from tests.reference.writer import Book, Document, Run, cover

WIDE = (0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 13, 17, 21, 26, 32, 40, 50, 60, 63)
"""Widths of ranges that reach far with few symbols."""


@dataclass(frozen=True)
class Part:
    """The changes of one tensor."""

    numbers: Mapping[int, int] = field(default_factory=dict)
    """sparse: level by position; exact: difference of ordinals by position."""
    levels: Sequence[int] = ()
    """hashed: level by bucket."""
    block: int = 1
    rows: tuple[int, ...] = ()
    """Numbers of the rows, where there are classes."""
    columns: tuple[int, ...] = ()
    """Numbers of the columns, where there are classes."""
    step: int = 1
    exponent: int = 0
    grid: int = 0
    """Format 3: 0 keeps the grid, 1 takes the tensor off it, 2 makes it coarser by a bit, 3 by two …"""
    alpha: int = 16
    """Format 4: sixteenths of the weights that are kept before anything is added."""
    every: bool = False
    """With B = 1: where some weight of a chunk changes, every weight gets a value, most of them 0."""
    widths: tuple[int, ...] = ()
    """Of the ranges of the values' codebooks; none: what fits."""


def document(
    kind: int,
    table: Sequence[Tensor],
    parent: str,
    parts: Sequence[Part | None],
    *,
    lanes: int = 2,
    alpha: int = ONE,
    beta: int = ONE,
    seed: int = 0,
    version: int = 2,
) -> Document:
    """Return a document of these parts, which is sound if the parts are."""
    touched = [(tensor, part) for tensor, part in zip(table, parts, strict=True) if part is not None]
    books: list[Book] = []
    uses, counts, runs = [], [], []
    for tensor, part in touched:
        own_counts, cells = ([len(part.levels)], [[[tuple(part.levels)]]]) if kind == HASHED else cells_of(tensor, part)
        own = [books_for(of_class, part) for of_class in zip(*cells, strict=True)]
        uses += [number_of(book, books) for of_class in own for book in of_class]
        counts += own_counts
        for chunk in cells:
            for of_class, cell in zip(own, chunk, strict=True):
                runs += [Run(book, run) for book, run in zip(of_class, cell, strict=True) if run]
    return Document(
        kind, parent, len(table), lanes if touched else 0, alpha, beta, seed, version=version,
        books=tuple(books),
        blocks=tuple(0 if part is None else part.block for part in parts),
        classes=tuple(int(bool(part.columns)) for _, part in touched) if kind != HASHED else (),
        lines=tuple(number for _, part in touched for number in (*part.rows, *part.columns)),
        steps=tuple(part.step for _, part in touched) if kind != EXACT else (),
        exponents=tuple(part.exponent for tensor, part in touched if tensor.half) if kind != EXACT else (),
        grids=tuple(part.grid for tensor, part in touched if tensor.grid is not None) if version >= 3 else (),
        alphas=tuple(part.alpha for tensor, part in touched if scalable(tensor, part)) if version == 4 else (),
        uses=tuple(uses), counts=tuple(counts), runs=tuple(runs),
    )  # fmt: skip


def scalable(tensor: Tensor, part: Part) -> bool:
    """Whether format 4 has a factor for the tensor: on a grid after the diff, or I8."""
    return tensor.dtype == "I8" or (tensor.grid is not None and part.grid != 1)


Cell = list[tuple[int, ...]]
"""The runs of one class in one chunk: gaps, patterns, values; or gaps, values; or values."""


def books_for(cells: Sequence[Cell], part: Part) -> list[Book]:
    """Return a codebook for each of the runs of one class's cells, in order."""
    values = (part.widths,) * (3 if len(cells[0]) == 5 else 1)
    gaps, patterns = (), (0,)
    widths = (gaps, patterns, *values) if len(cells[0]) == 5 else (gaps, *values)[-len(cells[0]) :]
    return [
        book_for([number for run in runs for number in run], of_run)
        for of_run, runs in zip(widths, zip(*cells, strict=True), strict=True)
    ]


def book_for(numbers: Sequence[int], widths: Sequence[int]) -> Book:
    """Return a codebook of these widths, else of single numbers if there are few, else of wide ranges."""
    if not numbers:
        return Book(1, (0,), (4096,))
    near = max(numbers) - min(numbers) < 200
    return cover(numbers, widths or ((0,) if near else WIDE))


def number_of(book: Book, books: list[Book]) -> int:
    """Return a codebook's number among `books`, added if it is new."""
    if book not in books:
        books.append(book)
    return books.index(book)


def cells_of(tensor: Tensor, part: Part) -> tuple[list[int], list[list[Cell]]]:
    """Return the counts and the runs, by chunk and class."""
    counts, cells = [], []
    layout = Layout(part.block, rows=part.rows or (0,), columns=part.columns)
    for start, length in chunks(tensor.size):
        inside = {p - start: value for p, value in part.numbers.items() if start <= p < start + length}
        if inside and part.every:
            inside = {position: inside.get(position, 0) for position in range(length)}
        dealt: list[list[int]] = [[] for _ in range(layout.classes)]
        for block in range(blocks_of(length, part.block)):
            dealt[layout.class_of(start // part.block + block)].append(block)
        changed = {position // part.block for position in inside}
        changed_blocks = [[number for number, block in enumerate(blocks) if block in changed] for blocks in dealt]
        counts += [len(numbers) for numbers in changed_blocks]
        cells.append([cell(part, inside, *of) for of in zip(dealt, changed_blocks, strict=True)])
    return counts, cells


def cell(part: Part, inside: Mapping[int, int], blocks: Sequence[int], changed_blocks: Sequence[int]) -> Cell:
    """The runs for some of a class's blocks, by their numbers in it."""
    whole = len(changed_blocks) == len(blocks)
    gaps = () if whole else tuple(b - a - 1 for a, b in zip([-1, *changed_blocks], changed_blocks, strict=False))
    changed = [blocks[number] for number in changed_blocks]
    if part.block == 1:
        return [gaps, tuple(inside[position] for position in changed)]
    positions = [block * part.block + place for block in changed for place in range(part.block)]
    values = {position: inside[position] for position in positions if position in inside}
    return [gaps, tuple(pattern(inside, block, part.block) for block in changed), *in_contexts(values, part.block)]


def pattern(inside: Mapping[int, int], block: int, size: int) -> int:
    """Return the pattern of a block's changed weights."""
    return sum(1 << place for place in range(size) if block * size + place in inside)


def in_contexts(inside: Mapping[int, int], size: int) -> tuple[tuple[int, ...], ...]:
    """The values by what precedes them in their block, those in contexts 1 and 2 times the sign of the one before."""
    runs: tuple[list[int], ...] = ([], [], [])
    last = -9
    for position in sorted(inside):
        value = inside[position]
        if last // size != position // size:
            runs[0].append(value)
        else:
            runs[1 if last == position - 1 else 2].append(-value if inside[last] < 0 else value)
        last = position
    return tuple(map(tuple, runs))
