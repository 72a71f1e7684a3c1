"""Classes of blocks by how much their rows and columns change; each class is coded by itself.

A block's class is its row's number plus its column's, so a tensor of r rows and c columns of blocks is described by
r + c small numbers. Rows are the indices of the first axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Positions
from diffclient.tensors.tensor_table import TensorSpec

Numbers = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

BLOCK_LIMIT = 8
"""The most weights of a block."""

NUMBER_LIMIT = 15
"""The largest number of a row or column; so there are 31 classes at most."""

LINE_LIMIT = 1 << 16
"""The most rows and columns together of a tensor that has classes."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The numbers of a tensor's rows and columns."""

    rows: Numbers
    """uint8[r], at most 15."""
    columns: Numbers
    """uint8[c], at most 15, one for each block of a row."""

    @property
    def lines(self) -> Numbers:
        """uint8[r + c], rows and columns."""
        return np.concatenate((self.rows, self.columns))

    @property
    def count(self) -> int:
        """The number of classes, some of which may be empty."""
        return int(self.rows.max()) + int(self.columns.max()) + 1

    def of(self, first: int, last: int) -> Numbers:
        """Return the class of each block from number `first` up to `last`, in C order."""
        wide = len(self.columns)
        above, below = first // wide, -(-last // wide)
        grid = self.rows[above:below, None] + self.columns
        return grid.reshape(-1)[first - above * wide : last - above * wide]


def lines(spec: TensorSpec, block: int) -> tuple[int, int] | None:
    """Return a tensor's rows and columns of blocks; None if it cannot have classes."""
    rows = spec.shape[0] if spec.shape else 0
    if not rows or not spec.size or spec.size // rows % block:
        return None
    columns = spec.size // rows // block
    return (rows, columns) if rows + columns <= LINE_LIMIT else None


def most_lines(spec: TensorSpec) -> tuple[int, int]:
    """Return rows and columns for the smallest blocks with which a tensor can have classes; (0, 0) if none."""
    return next((shape for block in range(1, BLOCK_LIMIT + 1) if (shape := lines(spec, block))), (0, 0))


@dataclass(frozen=True, eq=False)
class Changed:
    """The number of blocks that hold a change in each row and column of a tensor."""

    rows: Counts
    columns: Counts


def count(spec: TensorSpec, block: int, changed: Iterable[Positions]) -> Changed | None:
    """Count changed blocks, whose numbers come in parts; None for a tensor that cannot have classes."""
    shape = lines(spec, block)
    if shape is None:
        return None
    counted = Changed(*(np.zeros(length, np.int64) for length in shape))
    for part in changed:
        rows, columns = np.divmod(part, shape[1])
        counted.rows[:] += np.bincount(rows, minlength=shape[0])
        counted.columns[:] += np.bincount(columns, minlength=shape[1])
    return counted


def fit(changed: Changed, step: float) -> Classes | None:
    """Return classes a factor of 2^step in density apart; None where all rows and all columns are about alike.

    A row's deviation from the mean share is shrunk by the variance that chance alone explains (a posterior mean).
    """
    classes = Classes(_graded(changed.rows, step), _graded(changed.columns, step))
    return classes if classes.count > 1 else None


def _graded(counts: Counts, step: float) -> Numbers:
    expected = max(float(counts.mean()), 0.5)
    octaves = np.log2((counts + 0.5) / (expected + 0.5))
    by_chance = 1 / (expected * np.log(2) ** 2)
    spread = max(float(octaves.var()) - by_chance, 0.0)
    grades = np.rint(octaves * spread / (spread + by_chance) / step)
    middle = np.clip(grades, -(NUMBER_LIMIT // 2), NUMBER_LIMIT // 2)
    numbers: Numbers = (middle - middle.min()).astype(np.uint8)
    return numbers
