"""Write and read the new grids of touched tensors, as numbers in the records.

Of a tensor on a grid: 0, it stays; 1, the tensor leaves it for none; 2, 3 …, it becomes coarser by one bit, by two …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffclient.diff.streams import Grids
from diffclient.payload import leb128
from diffclient.tensors.arithmetic import GRID_MIN
from diffclient.tensors.tensor_table import Table

STAYS, NONE = 0, 1


def write(grids: Grids, table: Table, touched: Sequence[object]) -> list[int]:
    """Return the numbers for the touched tensors, those that are true in `touched`."""
    return [_code(grid, grids.get(number, grid)) for number, grid in _on_grid(table, touched)]


def read(numbers: leb128.Reader, table: Table, touched: Sequence[object]) -> Grids:
    """Return the new grids of the tensors that do not stay; raises PayloadError."""
    grids: dict[int, int | None] = {}
    for number, grid in _on_grid(table, touched):
        code = numbers.take(f"{table[number].name}: grid", STAYS, NONE + grid - GRID_MIN)
        if code != STAYS:
            grids[number] = None if code == NONE else grid + NONE - code
    return grids


def _on_grid(table: Table, touched: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Yield number and exponent of every touched tensor on a grid."""
    for number, (spec, touch) in enumerate(zip(table, touched, strict=True)):
        if touch and spec.grid is not None:
            yield number, spec.grid


def _code(old: int, new: int | None) -> int:
    if new is None:
        return NONE
    return STAYS if new == old else NONE + old - new
