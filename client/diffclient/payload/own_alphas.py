"""Write and read the factors by which an exact diff scales the weights of touched tensors, as numbers in the records.

They are sixteenths: 0 forgets the old weights, 16 keeps them whole. Only tensors that `may_scale` have one.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffclient.diff.streams import may_scale
from diffclient.payload import leb128
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.tensor_table import Table

WHOLE = 16
UNIT = ONE // WHOLE
"""The smallest factor, as a 16.16 fixed-point number."""


def write(table: Table, alphas: Sequence[int | None]) -> list[int]:
    """Return the numbers for the table after the diff; untouched tensors have the factor None."""
    return [alpha // UNIT for spec, alpha in zip(table, alphas, strict=True) if alpha is not None and may_scale(spec)]


def read(numbers: leb128.Reader, table: Table, touched: Sequence[object]) -> list[int]:
    """Return the factor of every touched tensor, ONE for those without a number; raises PayloadError."""
    specs = (spec for spec, touch in zip(table, touched, strict=True) if touch)
    return [numbers.take(f"{spec.name}: alpha", 0, WHOLE) * UNIT if may_scale(spec) else ONE for spec in specs]
