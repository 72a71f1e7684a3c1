"""Changes as whole steps: what is left of a tensor's changes when only the large ones are kept, and coarsely.

One step serves all tensors, in the units of each. Which step, and how many changes, is `nearest_sparse`'s to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Sparse
from diffclient.payload.records import takes
from diffclient.tensors.arithmetic import GRID_MAX, GRID_MIN, LIMIT
from diffclient.tensors.float_bits import widen
from diffclient.tensors.tensor_table import HALVES, TensorSpec
from diffserver.checkpoints.changes import Change

INT8_UNIT = 1 / 128
"""What an int8 weight is worth beside floats: its scale is known to the graph alone, so its range counts as 1."""


@dataclass(frozen=True)
class Rung:
    """A step of the quantiser, m × 2^j with m in 4 … 7: four an octave, so that steps share large powers of two."""

    number: int

    @property
    def mantissa(self) -> int:
        """m."""
        return 4 + self.number % 4

    @property
    def power(self) -> int:
        """j."""
        return self.number // 4

    @property
    def value(self) -> float:
        """The step as a number."""
        return math.ldexp(self.mantissa, self.power)

    @staticmethod
    def below(value: float) -> Rung:
        """The largest rung that is not above `value`."""
        fraction, exponent = math.frexp(value)  # in [0.5, 1), which are 4 to 8 eighths
        return Rung(4 * (exponent - 3) + int(fraction * 8) - 4)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What one tensor should change by, in units of `unit`, and how far it may go."""

    spec: TensorSpec
    deltas: npt.NDArray[Any]
    """int32 on a grid and in I8, else float32."""
    unit: float
    old: npt.NDArray[Any] | None = None
    """The weights in units; None where no integer bounds hold."""
    low: int = -LIMIT
    high: int = LIMIT

    def kept(self, threshold: float, rung: Rung) -> tuple[Sparse | None, float]:
        """Return the changes larger than `threshold` in whole steps, and the squared error that they take away."""
        positions = np.flatnonzero(np.abs(self.deltas) > threshold / self.unit)
        step, exponent = self.step(rung)
        size = step if exponent is None else math.ldexp(step, -exponent)
        wanted = self.deltas[positions].astype(np.float64)
        levels = self._bounded(np.rint(wanted / size), positions, step)
        told = np.flatnonzero(levels)
        gain = float(np.sum(wanted**2 - (wanted - levels * size) ** 2)) * self.unit**2
        return (Sparse(positions[told], levels[told], step, exponent), gain) if told.size else (None, 0.0)

    def step(self, rung: Rung) -> tuple[int, int | None]:
        """Return the step in this tensor's units and, off the grid, the exponent of its unit."""
        if self.old is None:
            return rung.mantissa, min(GRID_MAX, max(GRID_MIN, -rung.power))
        return min(LIMIT, max(1, round(rung.value / self.unit))), None

    def _bounded(self, levels: npt.NDArray[np.float64], positions: npt.NDArray[np.int64], step: int) -> Any:
        """Take a step back where rounding went beyond what the tensor can hold."""
        if self.old is None:
            most = LIMIT // step
            return np.clip(levels, -most, most).astype(np.int32)
        ends = self.old[positions] + levels * step
        outside = (ends < self.low) | (ends > self.high)
        return (levels - np.sign(levels) * outside).astype(np.int32)


def left_out(found: Sequence[Change]) -> list[str]:
    """Name the tensors that change, and that only an exact diff can change."""
    others = [change for change in found if not takes("sparse", change.spec)]
    return [change.spec.name for change in others if change.old.tobytes() != change.new.tobytes()]


def wanted_of(change: Change) -> Wanted | None:
    """Return what a sparse diff is to come near to; None where it can change nothing."""
    spec, old, new = change.spec, change.old, change.new
    if spec.grid is not None:
        return Wanted(spec, new - old, math.ldexp(1.0, -spec.grid), old)
    if spec.dtype == "I8":
        return Wanted(spec, new.astype(np.int32) - old, INT8_UNIT, old.astype(np.int32), -128, 127)
    if spec.dtype in HALVES:
        return Wanted(spec, widen(new, spec.dtype) - widen(old, spec.dtype), 1.0)
    return None
