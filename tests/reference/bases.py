"""The small sound payloads that hostile ones are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.reference.changes import Change, fields
from tests.reference.documents import Part
from tests.reference.models import Sample, sample
from tests.reference.records import EXACT, HASHED, SPARSE, Tensor
from tests.reference.writer import write

WEIGHT = Tensor("weight", (10,), "F32", 20)
MODEL = (
    WEIGHT,
    Tensor("x.bool", (4,), "BOOL", None),
    Tensor("x.empty", (0,), "F32", 20),
    Tensor("x.f32", (4,), "F32", None),
    Tensor("x.f64", (4,), "F64", None),
    Tensor("x.half", (4,), "F16", None),
    Tensor("x.i16", (4,), "I16", None),
    Tensor("x.i8", (4,), "I8", None),
    Tensor("x.u8", (4,), "U8", None),
)
TABLE_OF_ROWS = (
    Tensor("none", (0, 4), "F32", 20),
    Tensor("one", (), "F32", 20),
    Tensor("rows", (3, 4), "F32", 20),
    Tensor("too wide", (2, 65535), "I8", None),
    Tensor("void", (4, 0), "F32", 20),
)
CLASSES = Part({0: 1, 4: 2, 7: -1, 8: 3, 9: 1}, rows=(0, 1, 1), columns=(0, 0, 0, 1))
BASES: Mapping[str, Sample] = {
    "sparse": sample("one tensor", SPARSE, MODEL, {"weight": Part({2: 1, 5: -2, 8: 7}, step=5, widths=(2, 1, 3))}),
    "blocks": sample("blocks of 3", SPARSE, MODEL, {"weight": Part({1: -4, 2: 5, 6: 1, 8: -2, 9: 7}, block=3)}),
    "every block": sample("blocks of 3", SPARSE, MODEL, {"weight": Part({0: -1, 3: 5, 6: 1, 9: 2}, block=3)}),
    "every weight": sample("all", SPARSE, MODEL, {"weight": Part({3: 1}, every=True)}),
    "half": sample("F16", SPARSE, MODEL, {"x.half": Part({0: 1, 3: 1}, step=1 << 8, exponent=20)}),
    "hashed": sample("hashed", HASHED, MODEL, {"weight": Part(levels=[4, -1, 0], step=9)}, seed=3),
    "exact": sample("exact", EXACT, MODEL, {"weight": Part({4: 3}), "x.i8": Part({1: 5, 2: -1})}),
    "free": sample("format 3", EXACT, MODEL, {"weight": Part({4: 3}, grid=3), "x.i8": Part({1: 5})}, version=3),
    "scaled": sample("format 4", EXACT, MODEL, {"weight": Part({4: 3}, alpha=3), "x.i8": Part(alpha=0)}, version=4),
    "classes": sample("classes", SPARSE, TABLE_OF_ROWS, {"rows": CLASSES}),
    "words": sample("words", SPARSE, MODEL, {"weight": Part({n: n * n + 1 for n in range(10)})}, lanes=1),
    "nothing": sample("nothing is touched", SPARSE, MODEL, {}),
}  # fmt: skip


class Hostile(NamedTuple):
    """A base, a change to it, and the name of the error that must follow."""

    base: str
    change: Change
    error: str = "PayloadError"

    def payload(self) -> bytes:
        """The changed bytes."""
        return write(self.change(BASES[self.base].document))


def touching(name: str) -> Change:
    """Return the blocks field with this tensor touched instead of the first."""
    return fields(blocks=tuple(int(tensor.name == name) for tensor in MODEL))
