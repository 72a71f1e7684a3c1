"""Sound payloads that together use every feature of the format."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from tests.reference.documents import WIDE, Part
from tests.reference.models import CLASSED, EVERY_DTYPE, FREE, LARGE, MIXED, Sample, halves, sample, scattered
from tests.reference.narrow import exact_bits_stay, narrow_bits_stay, narrow_hashed, narrow_sparse, to_zero
from tests.reference.records import CHUNK, EXACT, HASHED, ONE, SPARSE, Tensor
from tests.reference.writer import Book, Run


def sparse(block: int) -> Sample:
    """Sparse with blocks of this size, tensors in between left alone."""
    parts = {
        "a": Part(scattered(63, 2, 5), block=block, step=300),
        "d": Part({0: -3}, block=block, step=1 << 20),
        "f": Part({0: 1, 1: -2, 2: 5, 4: -9, 27: 3, 28: 7, 29: -1}, block=block, step=1),
    }
    return sample(f"sparse, blocks of {block}, the last of a tensor shorter", SPARSE, MIXED, parts, lanes=3)


def chunks() -> Sample:
    """The last weights of a chunk and the first of the next."""
    changes = {0: 5, 3: -7, CHUNK - 2: 9, CHUNK - 1: -4, CHUNK: 6, CHUNK + 57: -8, CHUNK + 58: 1}
    parts = {"large": Part(changes, block=5), "small": Part({8: 2}, block=7)}
    return sample("sparse, a tensor of two chunks", SPARSE, LARGE, parts, alpha=ONE - 400, beta=2 * ONE)


def late_chunk() -> Sample:
    """A chunk without changes."""
    parts = {"large": Part({CHUNK + 4: 100, CHUNK + 5: -90})}
    return sample("exact, nothing in the first chunk", EXACT, LARGE, parts)


def hashed_chunks() -> Sample:
    """Positions go on counting from chunk to chunk."""
    parts = {"large": Part(levels=[3, -1, 0, 7, -20]), "small": Part(levels=[11], step=1000)}
    return sample("hashed, a tensor of two chunks", HASHED, LARGE, parts, seed=0xFFFFFFFF, alpha=ONE // 2, lanes=1)


def ties() -> Sample:
    """Half of an odd weight, in both directions."""
    units = struct.pack("<9f", *(number * 2.0**-20 for number in (0, 1, 2, 3, -1, -2, -3, 5, -5)))
    parts = {"small": Part({7: 2, 8: 2})}
    return sample("sparse, halves round to even", SPARSE, LARGE[1:], parts, alpha=ONE // 2, given={"small": units})


def exact() -> Sample:
    """Every dtype, also across zero and around the end of the integers."""
    parts = {
        "bf16": Part({0: 3, 5: -40}),
        "bool": Part({0: 1, 1: -1}, widths=(1,)),
        "f16": Part({1: -0x7000, 2: 1, 3: 0x7200}, widths=WIDE),
        "f32": Part({0: 1, 5: -1}),
        "f64": Part({0: 1 << 50, 3: -(1 << 62)}, widths=WIDE),
        "grid": Part({0: 1, 2: -(1 << 20)}, widths=WIDE),
        "i16": Part({0: -(1 << 15), 1: (1 << 15) - 1}, widths=WIDE),
        "i32": Part({4: 7}),
        "i64": Part({0: -(1 << 63), 1: (1 << 63) - 1, 2: 1, 7: -1}, widths=(63,)),
        "i8": Part({0: -128, 1: 127, 5: 2}, widths=WIDE),
        "u8": Part({0: 200 - 256, 3: 100}, widths=(5, 0, 7)),
    }
    given = {"bool": bytes([0, 1, 0, 1, 0, 0, 1, 1, 0]), "f16": halves(0x8000, 0x3800, 0x7BFE, 0xB800, 0x7E00, 0)}
    return sample("exact, every dtype", EXACT, EVERY_DTYPE, parts, lanes=5, given=given)


def exact_every_weight() -> Sample:
    """Values of 0 among the others."""
    parts = {"u8": Part({2: 9}, every=True), "f64": Part(dict.fromkeys(range(6), 1)), "i16": Part()}
    return sample("exact, a value for every weight, 0 where it stays", EXACT, EVERY_DTYPE, parts)


def new_grids() -> Sample:
    """Coarser grids, with changes and without, none, and what only format 3 may make off the grid."""
    units = struct.pack("<9f", *(number * 2.0**-20 for number in (0, 1, 2, 3, -1, -2, -3, 6, -6)))
    parts = {
        "coarser": Part(scattered(63, 2, 6), grid=6),
        "half": Part({0: 1, 1: -1, 2: 0x100, 4: 3}, widths=WIDE),
        "least": Part({1: -9, 3: 1 << 24}, grid=227, widths=WIDE),
        "leaves": Part({0: 1 << 30, 5: -40}, grid=1, widths=WIDE),
        "mask": Part({1: -0x7F800000, 4: 2}, widths=WIDE),
        "rounded": Part(grid=3),
        "stays": Part({2: -5}),
    }
    given = {"half": halves(0x7BFF, 0x7C01, 0x7D00, 1, 0), "mask": bytes(20), "rounded": units}
    return sample("exact, format 3: new grids, infinities", EXACT, FREE, parts, given=given, version=3)


def new_grid_chunks() -> Sample:
    """Every chunk is rounded, also where nothing changes."""
    table = (Tensor("large", (CHUNK + 59,), "F32", 24), Tensor("small", (9,), "F32", 20))
    parts = {"large": Part({CHUNK + 4: 100, CHUNK + 5: -90}, grid=5), "small": Part({3: -1}, grid=1)}
    return sample("exact, format 3: a new grid for a tensor of two chunks", EXACT, table, parts, version=3)


def scaled() -> Sample:
    """Halves in both directions, weights forgotten, weights on a new grid; no factor where a tensor leaves its own."""
    units = struct.pack("<9f", *(number * 2.0**-20 for number in (0, 1, 2, 3, -1, -2, -3, 5, -5)))
    parts = {
        "coarser": Part(scattered(63, 2, 6), grid=6, alpha=5),
        "leaves": Part({0: 1 << 30}, grid=1, widths=WIDE),
        "rounded": Part({7: 2, 8: 2}, alpha=8),
        "stays": Part({2: -5}, alpha=0),
    }
    return sample("exact, format 4: scaled on grids", EXACT, FREE, parts, given={"rounded": units}, version=4)


def scaled_int8() -> Sample:
    """Around the end of int8, halves, and a chunk without changes that is scaled all the same."""
    parts = {
        "large": Part({0: 127, 1: -128, 2: 5, 3: 1, 4: 1, 5: 1, 6: 1}, alpha=8),
        "small": Part({1: 3}, every=True),
    }
    return sample("exact, format 4: int8 scaled, two chunks", EXACT, LARGE, parts, version=4)


def hashed() -> Sample:
    """Two tensors on the grid, as many buckets as weights, and one."""
    parts = {
        "a": Part(levels=[0, 5, -5, 1, 2, -3, 0, 0, 9], step=99),
        "d": Part(levels=[-4], step=77),
        "f": Part(levels=[(-1) ** n * n for n in range(30)], step=1 << 18, widths=(2, 1, 0)),
    }
    return sample("hashed, one bucket, some, and one a weight", HASHED, MIXED, parts, seed=12345, beta=-ONE, lanes=4)


def codebooks() -> Sample:
    """Empty ranges, unused codebooks, a shared one, and the widest range."""
    base = sample("", SPARSE, MIXED, {"a": Part({3: 1, 40: 2}), "c": Part({1: 2, 11: -3}), "f": Part({29: 1})})
    gaps = Book(0, (2, 2, 5, 0, 62), (2000, 0, 2000, 0, 96))
    values = Book(-3, (0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 4000, 95))
    widest = Book(-(1 << 63), (63, 63), (2048, 2048))
    unused = tuple(Book(number, (number % 63,), (4096,)) for number in range(250))
    pairs = ((gaps, (3, 36)), (values, (1, 2)), (gaps, (1, 9)), (values, (2, -3)), (gaps, (29,)), (widest, (1,)))
    changed = replace(
        base.document, books=(*unused, gaps, values, widest), uses=(250, 251, 250, 251, 250, 252),
        runs=tuple(Run(book, numbers) for book, numbers in pairs),
    )  # fmt: skip
    return replace(
        base, about="codebooks shared, unused, with ranges unused and as wide as they can be", document=changed
    )


def classes() -> Sample:
    """Several classes: without blocks, without changes, and with changes only."""
    parts = {
        "deep": Part(scattered(72, 2, 4, 90), block=3, rows=(0, 2, 0), columns=(0, 0, 1, 5, 0, 0, 1, 0), step=9),
        "flat": Part({2: 1, 4: -3, 5: 2}, rows=(15, 0, 3, 0, 3, 3), columns=(15,)),
        "half": Part({p: p - 30 for p in range(20) if p % 4 < 2 or p > 15}, block=2, rows=(0,) * 5, columns=(0, 3)),
        "wide": Part({8: 7}, rows=(0, 0), columns=(0,) * 9, exponent=3),
    }
    return sample("sparse, classes", SPARSE, CLASSED, parts)


def classes_in_chunks() -> Sample:
    """A chunk's end in the middle of a row."""
    table = (Tensor("large", (1100, 1000), "U8", None),)
    columns = tuple(1 if column % 100 == 0 else 0 for column in range(1000))
    rows = tuple(2 if row % 64 == 8 else 0 for row in range(1100))
    changes = {p: p % 100 + 1 for p in (0, 1, 8_000, 8_001, 8_100, CHUNK - 1, CHUNK, CHUNK + 80, 1_099_900, 1_099_999)}
    parts = {"large": Part(changes, rows=rows, columns=columns)}
    return sample("exact, classes in a tensor of two chunks", EXACT, table, parts)


def lanes(number: int) -> Sample:
    """More lanes than symbols, or one."""
    parts = {"a": Part(scattered(63, 1, 3), step=1 << 19, block=2), "c": Part({0: 1})}
    return sample(f"sparse, {number} lanes", SPARSE, MIXED, parts, lanes=number)


SAMPLES: Mapping[str, Callable[[], Sample]] = {
    **{f"sparse-blocks-of-{block}": partial(sparse, block) for block in (1, 2, 3, 5, 8)},
    "sparse-every-weight": lambda: sample(
        "sparse, a level for every weight, 0 among them", SPARSE, MIXED,
        {"a": Part(scattered(63, 2, 8), step=12, every=True), "d": Part({0: 1})}, alpha=ONE // 2,
    ),
    "sparse-every-block": lambda: sample(
        "sparse, every block holds a change", SPARSE, MIXED,
        {"a": Part({p: p - 100 for p in range(1, 63, 3)}, block=4)},
    ),
    "sparse-largest-values": lambda: sample(
        "sparse, levels x step at their limits", SPARSE, MIXED,
        {"f": Part({0: 1, 7: -1, 29: 2}, step=1 << 24), "c": Part({0: -(1 << 25)})}, alpha=0, beta=ONE // 2,
    ),
    "sparse-nothing-added": lambda: sample(
        "sparse, only the factor", SPARSE, MIXED, {"a": Part(block=3), "f": Part()}, alpha=-ONE,
    ),
    "sparse-chunks": chunks,
    "sparse-narrow": narrow_sparse,
    "sparse-bits-stay": narrow_bits_stay,
    "sparse-to-zero": to_zero,
    "sparse-ties": ties,
    "sparse-codebooks": codebooks,
    "sparse-classes": classes,
    "exact-classes-chunks": classes_in_chunks,
    "sparse-1-lane": partial(lanes, 1),
    "sparse-4096-lanes": partial(lanes, 4096),
    "empty": lambda: sample("nothing is touched", SPARSE, MIXED, {}),
    "no-tensors": lambda: sample("a table without tensors", EXACT, (), {}),
    "hashed": hashed,
    "hashed-narrow": narrow_hashed,
    "hashed-chunks": hashed_chunks,
    "exact": exact,
    "exact-every-weight": exact_every_weight,
    "exact-bits-stay": exact_bits_stay,
    "exact-late-chunk": late_chunk,
    "exact-new-grids": new_grids,
    "exact-new-grid-chunks": new_grid_chunks,
    "exact-scaled": scaled,
    "exact-scaled-chunks": scaled_int8,
}  # fmt: skip
