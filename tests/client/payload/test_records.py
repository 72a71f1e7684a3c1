from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import zstandard

from diffclient.diff.streams import Kind
from diffclient.errors import PayloadError
from diffclient.payload import leb128, records
from diffclient.payload.block_classes import Classes
from diffclient.payload.codebook import TOTAL, Codebook
from diffclient.payload.frame import FREE, PLAIN, SCALED
from diffclient.payload.own_alphas import UNIT
from diffclient.payload.records import Layout, Records
from diffclient.tensors.arithmetic import LIMIT
from diffclient.tensors.snapshot import Table, TensorSpec

TABLE: Table = (
    TensorSpec("conv", (4, 2, 3), "F32", 20),
    TensorSpec("half", (10,), "F16", None),
    TensorSpec("none", (5,), "F32", 20),
    TensorSpec("steps", (3,), "I64", None),
)
ONE_NUMBER = Codebook(1, (0,), (TOTAL,))
GAPS = Codebook(0, (0, 2), (TOTAL - 1, 1))
DEALT = Classes(np.array([0, 0, 1, 1], np.uint8), np.array([0, 0], np.uint8))


def same(first: Records, second: Records) -> bool:
    """Whether two are equal; arrays compare by their numbers."""
    return repr(first) == repr(second)


SPARSE = Records(
    (GAPS, ONE_NUMBER),
    (
        Layout(3, 5, None, DEALT, (0, 1, 1, 1, 1) * 2, (2, 3)),
        Layout(1, LIMIT, -7, None, (0, 1), (10,)),
        None,
        None,
    ),
)
HASHED = Records((ONE_NUMBER,), (Layout(1, 9, None, None, (0,), (24,)), None, None, None))
EXACT = Records((GAPS,), (None, None, None, Layout(1, 1, None, None, (0, 0), (2,))))


REGRIDDED = Records((GAPS,), (Layout(1, 1, None, None, (0, 0), (24,)), None, EXACT.layouts[3], None), {0: 17, 2: None})
RESCALED = Records(
    (GAPS,), (Layout(1, 1, None, None, (0, 0), (24,), 3 * UNIT), None, EXACT.layouts[3], None), REGRIDDED.grids
)


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("sparse", PLAIN, SPARSE),
        ("hashed", PLAIN, HASHED),
        ("exact", PLAIN, EXACT),
        ("exact", FREE, REGRIDDED),
        ("exact", FREE, EXACT),
        ("exact", SCALED, RESCALED),
        ("exact", SCALED, EXACT),
    ],
)
def test_records_come_back(kind: Kind, version: int, expected: Records) -> None:
    written = memoryview(records.write(expected, kind, TABLE, version))
    assert same(records.read(written, kind, TABLE, version), expected)


@pytest.mark.parametrize(("codes", "flaw"), [([122, 0], "conv: grid: 122"), ([1, 122], "none: grid: 122")])
def test_flawed_grids_are_refused(codes: list[int], flaw: str) -> None:
    columns = [[1, 2, 0, 0, 2, TOTAL - 1, 1], [1, 0, 1, 0], [0, 0], codes, [0] * 4, [24, 2]]
    with pytest.raises(PayloadError, match=flaw):
        records.read(memoryview(section(columns)), "exact", TABLE, FREE)


@pytest.mark.parametrize(
    ("start", "stop", "block", "count"), [(0, 10, 1, 10), (0, 10, 3, 4), (5, 5, 2, 0), (8, 16, 8, 1)]
)
def test_the_last_block_may_be_shorter(start: int, stop: int, block: int, count: int) -> None:
    assert records.blocks(start, stop, block) == count


# The numbers of SPARSE, column by column.
BOOKS = [2, 2, 0, 0, 2, TOTAL - 1, 1, 1, 2, 0, TOTAL]
BLOCKS, FLAGS, LINES = [3, 1, 0, 0], [1, 0], [0, 0, 1, 1, 0, 0]
STEPS, EXPONENTS = [5, LIMIT], [13]
CHOSEN, COUNTS = [0, 1, 1, 1, 1] * 2 + [0, 1], [2, 3, 10]
COLUMNS = [BOOKS, BLOCKS, FLAGS, LINES, STEPS, EXPONENTS, CHOSEN, COUNTS]


def section(columns: Sequence[Sequence[int]]) -> bytes:
    return zstandard.compress(leb128.write(number for column in columns for number in column))


def test_numbers_stand_column_by_column() -> None:
    assert same(records.read(memoryview(section(COLUMNS)), "sparse", TABLE, PLAIN), SPARSE)


def instead(column: Sequence[int], at: int, number: int) -> list[list[int]]:
    """The columns with one number changed."""
    return [[*values[:at], number, *values[at + 1 :]] if values is column else list(values) for values in COLUMNS]


FLAWS: dict[str, tuple[list[list[int]], str]] = {
    "too many codebooks": (instead(BOOKS, 0, 256), "codebooks"),
    "too many ranges": (instead(BOOKS, 1, 257), "ranges of a codebook"),
    "frequencies that do not add up": (instead(BOOKS, 6, 2), "add up"),
    "a range too wide": (instead(BOOKS, 4, 64), "width of a range"),
    "negative gaps": (instead(BOOKS, 2, 1), "negative gaps"),
    "patterns of no block": (instead(BOOKS, 8, 0), "patterns that no block"),
    "patterns of a larger block": (instead(BOOKS, 8, 16), "patterns that no block"),
    "blocks too large": (instead(BLOCKS, 0, 9), "block: 9"),
    "a tensor that only exact changes": (instead(BLOCKS, 3, 1), "cannot change this tensor"),
    "classes or not": (instead(FLAGS, 0, 2), "classes: 2"),
    "a class too far": (instead(LINES, 0, 16), "class: 16"),
    "no step": (instead(STEPS, 0, 0), "step: 0"),
    "a step too large": (instead(STEPS, 1, LIMIT + 1), "step"),
    "an exponent too large": (instead(EXPONENTS, 0, leb128.zigzag(127)), "exponent: 127"),
    "no such codebook": (instead(CHOSEN, 0, 2), "codebook: 2"),
    "more changes than blocks": (instead(COUNTS, 0, 9), "changes: 9"),
    "something left over": ([*COLUMNS, [0]], "left over"),
    "something missing": (COLUMNS[:-1], "truncated"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "flaw"), FLAWS.values(), ids=FLAWS.keys())
def test_flawed_records_are_refused(columns: list[list[int]], flaw: str) -> None:
    with pytest.raises(PayloadError, match=flaw):
        records.read(memoryview(section(columns)), "sparse", TABLE, PLAIN)


def unsized(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "no frame": lambda data: data,
    "half a frame": lambda data: zstandard.compress(data)[:-3],
    "no content size": unsized,
    "bytes behind": lambda data: zstandard.compress(data) + b"\0",
    "two frames": lambda data: zstandard.compress(data) * 2,
    "a bomb": lambda _: zstandard.compress(b"\0" * 50_000_000),
}


@pytest.mark.parametrize("wrap", FRAMES.values(), ids=FRAMES.keys())
def test_hostile_frames_are_refused(wrap: Callable[[bytes], bytes]) -> None:
    data = leb128.write(number for column in COLUMNS for number in column)
    with pytest.raises(PayloadError, match=r"decompressed|declare"):
        records.read(memoryview(wrap(data)), "sparse", TABLE, PLAIN)
