"""Models for vectors, and samples: a parent and a document for it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.reference.arithmetic import digest
from tests.reference.documents import Part, document
from tests.reference.parents import draws, weights
from tests.reference.records import CHUNK, Tensor
from tests.reference.writer import Document


@dataclass(frozen=True)
class Sample:
    """A parent and a document for it."""

    about: str
    table: tuple[Tensor, ...]
    document: Document
    seed: int = 1
    given: Mapping[str, bytes] = field(default_factory=dict)

    def weights(self) -> list[bytes]:
        """The parent's bytes, tensor by tensor."""
        return weights(self.table, self.seed, self.given)


MIXED = (
    Tensor("a", (7, 9), "F32", 20),
    Tensor("b", (5,), "I64", None),
    Tensor("c", (3, 4), "F32", 18),
    Tensor("d", (), "F32", -3),
    Tensor("e", (0, 4), "F32", 20),
    Tensor("f", (30,), "F32", 22),
    Tensor("größe", (4,), "BOOL", None),
)
NARROW = (Tensor("bf", (21,), "BF16", None), Tensor("half", (19,), "F16", None), Tensor("int", (40,), "I8", None))
EVERY_DTYPE = (
    Tensor("bf16", (6,), "BF16", None),
    Tensor("bool", (9,), "BOOL", None),
    Tensor("f16", (6,), "F16", None),
    Tensor("f32", (6,), "F32", None),
    Tensor("f64", (6,), "F64", None),
    Tensor("grid", (6,), "F32", 21),
    Tensor("i16", (6,), "I16", None),
    Tensor("i32", (6,), "I32", None),
    Tensor("i64", (8,), "I64", None),
    Tensor("i8", (6,), "I8", None),
    Tensor("u8", (6,), "U8", None),
)
LARGE = (Tensor("large", (CHUNK + 59,), "I8", None), Tensor("small", (9,), "F32", 20))
CLASSED = (
    Tensor("deep", (3, 2, 12), "F32", 20),
    Tensor("flat", (6,), "I8", None),
    Tensor("half", (5, 4), "F16", None),
    Tensor("wide", (2, 9), "BF16", None),
)
FREE = (
    Tensor("coarser", (7, 9), "F32", 20),
    Tensor("half", (5,), "F16", None),
    Tensor("least", (4,), "F32", 126),
    Tensor("leaves", (6,), "F32", 21),
    Tensor("mask", (5,), "F32", None),
    Tensor("rounded", (9,), "F32", 20),
    Tensor("stays", (6,), "F32", 22),
)
NEGATIVE_ZERO, NOT_A_NUMBER, INFINITE = 0x8000, 0x7E01, 0x7C00


def scattered(size: int, share: int, seed: int, top: int = 7) -> dict[int, int]:
    """Values from -top to top, none of them 0, at about one position of `share`."""
    drawn = draws(seed)
    kept = [position for position in range(size) if next(drawn) >> 8 & 0xFFFF < 65536 // share]
    return {position: (next(drawn) >> 8) % top + 1 if next(drawn) >> 31 else -((next(drawn) >> 8) % top) - 1
            for position in kept}  # fmt: skip


def sample(
    about: str,
    kind: int,
    table: Sequence[Tensor],
    parts: Mapping[str, Part],
    *,
    given: Mapping[str, bytes] | None = None,
    **fields: int,
) -> Sample:
    """A sample whose document is made from parts by name."""
    parent = digest(table, weights(table, 1, given or {}))
    sample_document = document(kind, table, parent, [parts.get(tensor.name) for tensor in table], **fields)
    return Sample(about, tuple(table), sample_document, given=given or {})


def halves(*patterns: int) -> bytes:
    """16-bit weights."""
    return struct.pack(f"<{len(patterns)}H", *patterns)
