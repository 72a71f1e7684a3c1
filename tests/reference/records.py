"""Read a payload's header, sections and records, which describe the coding of the rest."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import zstandard

from tests.reference.coding import (
    Codebook,
    Numbers,
    PayloadError,
    PayloadTooNew,
    WrongParent,
    demand,
    read_codebook,
)

CHUNK = 1_048_320
ONE = 65536
SPARSE, HASHED, EXACT = 1, 2, 3
BITS = {"F32": 32, "F16": 16, "BF16": 16, "F64": 64, "I8": 8, "I16": 16, "I32": 32, "I64": 64, "U8": 8, "BOOL": 8}
FORMATS = ((2, SPARSE), (2, HASHED), (2, EXACT), (3, EXACT), (4, EXACT))
HEADER = struct.Struct("<4sBB8siiIIH3I")


class Tensor(NamedTuple):
    """One row of the parent's tensor table."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    grid: int | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def half(self) -> bool:
        """Whether `sparse` and `hashed` give the tensor an exponent of its own."""
        return self.dtype in ("F16", "BF16")

    def lines(self, block: int) -> tuple[int, int] | None:
        """Rows and columns of blocks; None if the tensor cannot have classes."""
        if not self.size or not self.shape or self.size // self.shape[0] % block:
            return None
        rows, columns = self.shape[0], self.size // self.shape[0] // block
        return (rows, columns) if rows + columns <= 1 << 16 else None


@dataclass
class Layout:
    """The coding of one touched tensor."""

    block: int
    step: int = 1
    exponent: int = 0
    rows: tuple[int, ...] = (0,)
    """Every row's number; without classes, one row."""
    columns: tuple[int, ...] = ()
    """Every column's number; () without classes."""
    books: tuple[tuple[Codebook, ...], ...] = ()
    """By class, then gaps, patterns, values in their contexts; or gaps, values; or values."""
    grid: int | None = None
    """The tensor's exponent from this version on; None off the grid."""
    alpha: int = ONE
    """exact: the factor by which the weights are scaled first."""
    counts: tuple[int, ...] = ()
    """sparse and exact: blocks that hold a change, by chunk and class; hashed: one entry, the number of buckets."""

    @property
    def classes(self) -> int:
        return 1 + max(self.rows) + max(self.columns, default=0)

    def class_of(self, number: int) -> int:
        """The class of the tensor's block of this number."""
        if not self.columns:
            return 0
        row, column = divmod(number, len(self.columns))
        return self.rows[row] + self.columns[column]


class Header(NamedTuple):
    """The header's fields and the sections behind it."""

    version: int
    kind: int
    alpha: int
    beta: int
    seed: int
    lanes: int
    sections: tuple[bytes, bytes, bytes]
    """records, symbols, extra bits"""


def split(data: bytes, tensors: int, parent_digest: str) -> Header:
    """Header fields and the three sections."""
    demand(len(data) >= HEADER.size and data[:4] == b"NDIF", "no payload")
    _, version, kind, parent, alpha, beta, seed, count, lanes, *lengths = HEADER.unpack_from(data)
    if (version, kind) not in FORMATS:
        raise PayloadTooNew(f"format {version}, kind {kind}")
    if parent != bytes.fromhex(parent_digest)[:8]:
        raise WrongParent("made for another version")
    demand(abs(alpha) <= 1 << 20 and abs(beta) <= 1 << 20, "alpha or beta too large")
    demand(kind != EXACT or alpha == beta == ONE, "exact has no factors")
    demand(kind == HASHED or seed == 0, "only hashed has a seed")
    demand(count == tensors, "made for another table")
    demand(lanes <= 4096, "too many lanes")
    demand(len(data) == HEADER.size + sum(lengths), "the sections are not as long as the header says")
    first, second = HEADER.size + lengths[0], HEADER.size + lengths[0] + lengths[1]
    sections = (data[HEADER.size : first], data[first:second], data[second:])
    return Header(version, kind, alpha, beta, seed, lanes, sections)


def chunks(size: int) -> Iterator[tuple[int, int]]:
    """Where each chunk of a tensor begins, and how many weights it has."""
    for start in range(0, size, CHUNK):
        yield start, min(CHUNK, size - start)


def content_limit(table: Sequence[Tensor]) -> int:
    """The largest content that records for this table may have."""
    return (1 << 18) + sum(512 + 128 * len(list(chunks(tensor.size))) + most_lines(tensor) for tensor in table)


def most_lines(tensor: Tensor) -> int:
    """Rows and columns together for the smallest blocks that allow classes."""
    return next((sum(lines) for block in range(1, 9) if (lines := tensor.lines(block))), 0)


def decompress(frame: bytes, limit: int) -> bytes:
    """The content of one zstandard frame that declares its size; nothing is allocated beyond the limit."""
    demand(frame[:4] == b"\x28\xb5\x2f\xfd", "the records are not a zstandard frame")
    try:
        parameters = zstandard.get_frame_parameters(frame)
        demand(parameters.content_size <= limit, "the records declare no size, or too much")
        demand(parameters.dict_id == 0, "the records ask for a dictionary")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise PayloadError(str(error)) from error


def read_records(content: bytes, table: Sequence[Tensor], kind: int, version: int) -> list[Layout | None]:
    """Return the coding of each tensor; None for an untouched one."""
    numbers = Numbers(content)
    books = [read_codebook(numbers) for _ in range(numbers.within(0, 255, "number of codebooks"))]
    blocks = [numbers.within(0, 8 if kind == SPARSE else 1, "B") for _ in table]
    layouts = [Layout(block) if block else None for block in blocks]
    touched = [(tensor, layout) for tensor, layout in zip(table, layouts, strict=True) if layout is not None]
    for tensor, _ in touched:
        allowed = tensor.grid is not None or tensor.half or tensor.dtype == "I8"
        demand(kind == EXACT or allowed, "a tensor that only exact may touch")
        demand(tensor.size >= 1, "a tensor without weights")
        demand(kind != HASHED or tensor.size <= 1 << 31, "a tensor with too many weights for hashed")
    flags = [numbers.within(0, 1, "classes") if kind != HASHED else 0 for _ in touched]
    for (tensor, layout), flag in zip(touched, flags, strict=True):
        if flag:
            layout.rows, layout.columns = read_lines(numbers, tensor, layout)
    for _, layout in touched if kind != EXACT else ():
        layout.step = numbers.within(1, 1 << 24, "step")
    for _, layout in ((tensor, layout) for tensor, layout in touched if kind != EXACT and tensor.half):
        layout.exponent = numbers.signed()
        demand(-100 <= layout.exponent <= 126, "exponent out of range")
    for tensor, layout in touched:
        layout.grid = tensor.grid
        if version >= 3 and tensor.grid is not None:
            layout.grid = read_grid(numbers, tensor.grid)
    for tensor, layout in touched:
        if version == 4 and (layout.grid is not None or tensor.dtype == "I8"):
            layout.alpha = numbers.within(0, 16, "alpha") * ONE // 16
    for _, layout in touched:
        layout.books = tuple(read_books(numbers, books, layout, kind) for _ in range(layout.classes))
    for tensor, layout in touched:
        layout.counts = tuple(read_counts(numbers, tensor, layout, kind))
    numbers.end()
    return layouts


def read_grid(numbers: Numbers, grid: int) -> int | None:
    """The exponent from this version on: 0 as it was, 1 none, 2 coarser by a bit, 3 by two …"""
    code = numbers.within(0, 1 + grid + 100, "grid")
    return None if code == 1 else grid - max(0, code - 1)


def read_lines(numbers: Numbers, tensor: Tensor, layout: Layout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of rows and columns."""
    lines = tensor.lines(layout.block)
    if lines is None:
        raise PayloadError("a tensor that cannot have classes")
    read = [tuple(numbers.within(0, 15, "number of a row or column") for _ in range(count)) for count in lines]
    return read[0], read[1]


def read_books(numbers: Numbers, books: Sequence[Codebook], layout: Layout, kind: int) -> tuple[Codebook, ...]:
    """The codebooks of one class of a tensor."""
    roles = 1 if kind == HASHED else 2 if layout.block == 1 else 5
    chosen = tuple(books[numbers.within(0, len(books) - 1, "codebook")] for _ in range(roles))
    demand(kind == HASHED or chosen[0].starts[0] >= 0, "a codebook of gaps has some below 0")
    if roles == 5:
        patterns = chosen[1]
        demand(not any(patterns.widths), "a codebook of patterns has wide ranges")
        demand(patterns.starts[0] >= 1 and patterns.starts[-1] < 1 << layout.block, "patterns that no block can have")
    return chosen


def read_counts(numbers: Numbers, tensor: Tensor, layout: Layout, kind: int) -> Iterator[int]:
    if kind == HASHED:
        yield numbers.within(1, tensor.size, "number of buckets")
        return
    for _, length in chunks(tensor.size):
        for _ in range(layout.classes):
            yield numbers.within(0, blocks_of(length, layout.block), "count")


def blocks_of(length: int, block: int) -> int:
    return -(-length // block)
