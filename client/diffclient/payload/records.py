"""The records of a payload: its codebooks, and how each tensor of the parent's table is coded with them.

They are stored column by column (all block sizes, all steps …) in one zstandard frame, where equal values compress
well. The table limits the memory that a reader takes, before anything is decompressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import zstandard

from diffclient.diff.bucket_hash import POSITION_LIMIT
from diffclient.diff.streams import CHUNK, Grids, Kind, chunks
from diffclient.errors import PayloadError
from diffclient.payload import block_classes, leb128, new_grids, own_alphas
from diffclient.payload.block_classes import BLOCK_LIMIT, Classes
from diffclient.payload.codebook import BEYOND, LOWEST, RANGE_LIMIT, TOTAL, WIDTH_LIMIT, Codebook
from diffclient.payload.frame import FREE, SCALED
from diffclient.tensors.arithmetic import GRID_MAX, GRID_MIN, LIMIT, ONE
from diffclient.tensors.tensor_table import HALVES, Table, TensorSpec, regridded

BOOK_LIMIT = 255
ZSTD_LEVEL = 19

_ALLOWANCE, _TENSOR_ALLOWANCE, _CHUNK_ALLOWANCE = 1 << 18, 512, 128


Touched = tuple[TensorSpec, int]
"""A touched tensor with its block size."""


@dataclass(frozen=True)
class Layout:
    """The coding of one touched tensor."""

    block: int
    """Weights of a block, 1 to 8."""
    step: int
    """Grid units a level; 1 in exact."""
    exponent: int | None
    """A unit is 2^-exponent in F16 and BF16 tensors; None elsewhere."""
    classes: Classes | None
    """None: all blocks are of one class."""
    books: tuple[int, ...]
    """Numbers of the codebooks, class by class: gaps (not hashed), patterns (if block > 1), values (one, or three)."""
    counts: tuple[int, ...]
    """Per chunk, and in it per class, the blocks that hold a change; for hashed, the number of buckets."""
    alpha: int = ONE
    """16.16 fixed-point factor by which exact scales the weights first; ONE elsewhere."""


@dataclass(frozen=True)
class Records:
    """The codebooks and layouts, which must be known before the first symbol is read."""

    books: tuple[Codebook, ...]
    layouts: tuple[Layout | None, ...]
    """One a tensor, in the table's order; None: untouched."""
    grids: Grids = field(default_factory=dict)
    """New grids of touched tensors."""


def scales(kind: Kind, spec: TensorSpec) -> bool:
    """Tell whether the tensor's values are in units of 2^-exponent."""
    return kind != "exact" and spec.dtype in HALVES


def takes(kind: Kind, spec: TensorSpec) -> bool:
    """Tell whether a diff of this kind may touch this tensor."""
    if kind == "exact":
        return spec.size > 0
    within = spec.size > 0 and (kind == "sparse" or spec.size <= POSITION_LIMIT)
    return within and (spec.grid is not None or spec.dtype == "I8" or spec.dtype in HALVES)


def blocks(start: int, stop: int, block: int) -> int:
    """Return how many blocks there are in the chunk from `start` to `stop`."""
    return -((start - stop) // block)


def write(records: Records, kind: Kind, table: Table, version: int) -> bytes:
    """Return the bytes of the records' section in a format."""
    touched = [(spec, layout) for spec, layout in zip(table, records.layouts, strict=True) if layout]
    numbers = [len(records.books)]
    for book in records.books:
        numbers += [len(book.widths), leb128.zigzag(book.low), *book.widths, *book.frequencies]
    numbers += [layout.block if layout else 0 for layout in records.layouts]
    numbers += [layout.classes is not None for _, layout in touched if kind != "hashed"]
    numbers += [number for _, layout in touched if layout.classes for number in layout.classes.lines.tolist()]
    numbers += [layout.step for _, layout in touched if kind != "exact"]
    numbers += [leb128.zigzag(layout.exponent or 0) for spec, layout in touched if scales(kind, spec)]
    if version >= FREE:
        numbers += new_grids.write(records.grids, table, records.layouts)
    if version >= SCALED:
        numbers += own_alphas.write(
            regridded(table, records.grids), [each.alpha if each else None for each in records.layouts]
        )
    numbers += [number for _, layout in touched for number in layout.books]
    numbers += [count for _, layout in touched for count in layout.counts]
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False, write_content_size=True)
    return compressor.compress(leb128.write(numbers))


def read(section: memoryview, kind: Kind, table: Table, version: int) -> Records:
    """Return the records of a section, in a format.

    Raises PayloadError unless they are whole and fit the table.
    """
    numbers = leb128.Reader(_decompress(bytes(section), table))
    books = tuple(_book(numbers) for _ in range(numbers.take("codebooks", 0, BOOK_LIMIT)))
    sizes = [_block(numbers, spec, kind) for spec in table]
    touched = [(spec, block) for spec, block in zip(table, sizes, strict=True) if block]
    classes = _tensor_classes(numbers, touched, kind)
    steps = [numbers.take(f"{spec.name}: step", 1, LIMIT) if kind != "exact" else 1 for spec, _ in touched]
    exponents = [
        numbers.take_signed(f"{spec.name}: exponent", GRID_MIN, GRID_MAX) if scales(kind, spec) else None
        for spec, _ in touched
    ]
    grids = new_grids.read(numbers, table, sizes) if version >= FREE else {}
    alphas = own_alphas.read(numbers, regridded(table, grids), sizes) if version >= SCALED else [ONE] * len(touched)
    classed = list(zip(touched, classes, strict=True))
    book_numbers = [_books(numbers, tensor, tensor_classes, kind, books) for tensor, tensor_classes in classed]
    counts = [_counts(numbers, tensor, tensor_classes, kind) for tensor, tensor_classes in classed]
    numbers.finish()
    columns = ([block for _, block in touched], steps, exponents, classes, book_numbers, counts, alphas)
    layouts = iter(map(Layout, *columns))
    return Records(books, tuple(next(layouts) if block else None for block in sizes), grids)


def _decompress(section: bytes, table: Table) -> bytes:
    tensors = sum(_TENSOR_ALLOWANCE + _CHUNK_ALLOWANCE * blocks(0, spec.size, CHUNK) for spec in table)
    lines = sum(sum(block_classes.most_lines(spec)) for spec in table)
    try:
        frame = zstandard.get_frame_parameters(section)
        size = frame.content_size
        if size > _ALLOWANCE + tensors + lines or frame.dict_id:
            raise PayloadError("the records do not declare a size, or more than the tensors can need")
        return zstandard.ZstdDecompressor().decompress(section, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise PayloadError(f"the records cannot be decompressed: {error}") from error


def _book(numbers: leb128.Reader) -> Codebook:
    count = numbers.take("ranges of a codebook", 1, RANGE_LIMIT)
    low = numbers.take_signed("start of a codebook", LOWEST, BEYOND - 1)
    widths = tuple(numbers.take("width of a range", 0, WIDTH_LIMIT) for _ in range(count))
    book = Codebook(low, widths, tuple(numbers.take("frequency", 0, TOTAL) for _ in range(count)))
    if flaw := book.flaw:
        raise PayloadError(f"a codebook has {flaw}")
    return book


def _block(numbers: leb128.Reader, spec: TensorSpec, kind: Kind) -> int:
    block = numbers.take(f"{spec.name}: block", 0, BLOCK_LIMIT if kind == "sparse" else 1)
    if block and not takes(kind, spec):
        raise PayloadError(f"{spec.name}: a {kind} diff cannot change this tensor")
    return block


def _tensor_classes(numbers: leb128.Reader, touched: Sequence[Touched], kind: Kind) -> list[Classes | None]:
    flags = [numbers.take(f"{spec.name}: classes", 0, 1) if kind != "hashed" else 0 for spec, _ in touched]
    return [_classes(numbers, *tensor) if flag else None for flag, tensor in zip(flags, touched, strict=True)]


def _classes(numbers: leb128.Reader, spec: TensorSpec, block: int) -> Classes:
    lines = block_classes.lines(spec, block)
    if lines is None:
        raise PayloadError(f"{spec.name}: this tensor cannot have classes")
    line_numbers = [numbers.take(f"{spec.name}: class", 0, block_classes.NUMBER_LIMIT) for _ in range(sum(lines))]
    return Classes(*np.split(np.array(line_numbers, np.uint8), [lines[0]]))


def _books(
    numbers: leb128.Reader, touched: Touched, classes: Classes | None, kind: Kind, books: tuple[Codebook, ...]
) -> tuple[int, ...]:
    spec, block = touched
    runs, count = 1 if kind == "hashed" else 5 if block > 1 else 2, classes.count if classes else 1
    book_numbers = tuple(numbers.take(f"{spec.name}: codebook", 0, len(books) - 1) for _ in range(runs * count))
    if kind != "hashed" and any(books[gaps].low < 0 for gaps in book_numbers[::runs]):
        raise PayloadError(f"{spec.name}: negative gaps")
    for patterns in (books[number] for number in book_numbers[1::runs] if block > 1):
        if patterns.has_extra_bits or patterns.low < 1 or patterns.end > 1 << block:
            raise PayloadError(f"{spec.name}: patterns that no block of {block} has")
    return book_numbers


def _counts(numbers: leb128.Reader, touched: Touched, classes: Classes | None, kind: Kind) -> tuple[int, ...]:
    spec, block = touched
    if kind == "hashed":
        return (numbers.take(f"{spec.name}: buckets", 1, spec.size),)
    return tuple(
        numbers.take(f"{spec.name}: changes", 0, blocks(start, stop, block))
        for start, stop in chunks(spec.size)
        for _ in range(classes.count if classes else 1)
    )
