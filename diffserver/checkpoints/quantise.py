"""Quantise a tensor's changes: keep only the large ones, each as a whole number of steps.

All tensors share one step, in the units of each. Choosing the step and the number of changes is left to
`nearest_sparse`.
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
from diffserver.checkpoints.int8_scales import SCALE, Scales, beside, find_scales

INT8_UNIT = 1 / 128
"""The assumed value of an int8 unit where no scale is found: the dtype's range counts as -1 to 1."""


@dataclass(frozen=True)
class Rung:
    """A step of the quantiser, m × 2^j with m in 4 … 7: four to an octave, so that steps share large powers of two."""

    number: int

    @property
    def mantissa(self) -> int:
        """m, from 4 to 7."""
        return 4 + self.number % 4

    @property
    def power(self) -> int:
        """The exponent j."""
        return self.number // 4

    @property
    def value(self) -> float:
        """The step as a number."""
        return math.ldexp(self.mantissa, self.power)

    @staticmethod
    def below(value: float) -> Rung:
        """Return the largest rung that is not above `value`."""
        fraction, exponent = math.frexp(value)  # in [0.5, 1), which are 4 to 8 eighths
        return Rung(4 * (exponent - 3) + int(fraction * 8) - 4)


@dataclass(frozen=True, eq=False)
class WantedChange:
    """The change wanted of one tensor, in units of `unit`, and the bounds of its weights."""

    spec: TensorSpec
    deltas: npt.NDArray[Any]
    """int32 on a grid and in I8, else float32."""
    unit: float
    """A unit as a weight; of an int8 tensor's scales, the mean."""
    old: npt.NDArray[Any] | None = None
    """The old weights in units; None where there are no integer bounds."""
    low: int = -LIMIT
    high: int = LIMIT
    scale: npt.NDArray[np.float32] | None = None
    """The units of int8 as weights, with the tensor's sides or 1."""

    @property
    def sizes(self) -> npt.NDArray[np.float32]:
        """The sizes of all changes in the units in which tensors are compared."""
        sizes: npt.NDArray[np.float32] = np.abs(self.deltas).astype(np.float32)
        if self.scale is None:
            return sizes * np.float32(self.unit)
        return (sizes.reshape(self.spec.shape) * self.scale).reshape(-1)

    def quantised(self, largest: npt.NDArray[np.bool_], rung: Rung) -> tuple[Sparse | None, float]:
        """Return the changes that a mask names in whole steps, and the squared error that they remove."""
        positions = np.flatnonzero(largest)
        step, exponent = self.step(rung)
        size = step if exponent is None else math.ldexp(step, -exponent)
        deltas = self.deltas[positions].astype(np.float64)
        levels = self._bounded(np.rint(deltas / size), positions, step)
        nonzero = np.flatnonzero(levels)
        gain = float(np.sum((deltas**2 - (deltas - levels * size) ** 2) * self._units(positions) ** 2))
        return (Sparse(positions[nonzero], levels[nonzero], step, exponent), gain) if nonzero.size else (None, 0.0)

    def _units(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the units at these positions as weights: float64, one a position, or one in all."""
        if self.scale is None:
            return np.array(self.unit)
        return np.broadcast_to(self.scale, self.spec.shape).flat[positions].astype(np.float64)

    def step(self, rung: Rung) -> tuple[int, int | None]:
        """Return the step in this tensor's units and, off the grid, the exponent of its unit."""
        if self.old is None:
            return rung.mantissa, min(GRID_MAX, max(GRID_MIN, -rung.power))
        return min(LIMIT, max(1, round(rung.value / self.unit))), None

    def _bounded(self, levels: npt.NDArray[np.float64], positions: npt.NDArray[np.int64], step: int) -> Any:
        """Reduce levels by one where rounding would leave the tensor's bounds."""
        if self.old is None:
            most = LIMIT // step
            return np.clip(levels, -most, most).astype(np.int32)
        ends = self.old[positions] + levels * step
        outside = (ends < self.low) | (ends > self.high)
        return (levels - np.sign(levels) * outside).astype(np.int32)


def left_out(changes: Sequence[Change]) -> list[str]:
    """Return the names of changed tensors that only an exact diff can change."""
    exact_only = [change for change in changes if not takes("sparse", change.spec)]
    return [change.spec.name for change in exact_only if change.old.tobytes() != change.new.tobytes()]


def int8_scales(changes: Sequence[Change]) -> Scales:
    """Return the scales of int8 tensors, found by name among the old weights of all tensors."""
    wanted = {beside(change.spec.name, SCALE) for change in changes if change.spec.dtype == "I8"}
    weights = {change.spec.name: change.old_weights for change in changes if change.spec.name in wanted}
    return find_scales(tuple(change.spec for change in changes), weights)


def unscaled(changes: Sequence[Change]) -> list[str]:
    """Return the names of changed int8 tensors without a scale, for whose units a value is assumed."""
    scales = int8_scales(changes)
    unknown = [change for change in changes if change.spec.dtype == "I8" and change.spec.name not in scales]
    return [change.spec.name for change in unknown if not np.array_equal(change.old, change.new)]


def wanted_change(change: Change, scale: npt.NDArray[np.float32] | None = None) -> WantedChange | None:
    """Return the change that a sparse diff is to approximate; None for a tensor that it cannot change.

    `scale` is that of an int8 tensor, if it is known.
    """
    spec, old, new = change.spec, change.old, change.new
    if spec.grid is not None:
        return WantedChange(spec, new - old, math.ldexp(1.0, -spec.grid), old)
    if spec.dtype == "I8":
        unit = INT8_UNIT if scale is None else float(scale.mean())
        return WantedChange(spec, new.astype(np.int32) - old, unit, old.astype(np.int32), -128, 127, scale)
    if spec.dtype in HALVES:
        with np.errstate(invalid="ignore"):
            deltas = widen(new, spec.dtype) - widen(old, spec.dtype)
        return WantedChange(spec, np.where(np.isfinite(deltas), deltas, np.float32(0)), 1.0)
    return None
