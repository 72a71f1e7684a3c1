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

from diffclient.diff.streams import Positions, Sparse, chunks
from diffclient.payload.records import takes
from diffclient.tensors.arithmetic import GRID_MAX, GRID_MIN, LIMIT
from diffclient.tensors.float_bits import widen
from diffclient.tensors.tensor_table import HALVES
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
    """The change wanted of one tensor that a sparse diff can change, and the bounds of its weights."""

    change: Change
    unit: float
    """A unit as a weight, 1 off the grid; of an int8 tensor's scales, the mean."""
    low: int = -LIMIT
    high: int = LIMIT
    scale: npt.NDArray[np.float32] | None = None
    """The units of int8 as weights, with the tensor's sides or 1."""

    @property
    def size(self) -> int:
        """The tensor's weights."""
        return self.change.spec.size

    def part(self, start: int, stop: int) -> Candidates:
        """Return the wanted changes of all weights from position `start` up to `stop`."""
        spec, old, new = self.change.spec, self.change.old[start:stop], self.change.new[start:stop]
        positions = np.arange(start, stop)
        if spec.dtype in HALVES:
            with np.errstate(invalid="ignore"):
                deltas = widen(new, spec.dtype) - widen(old, spec.dtype)
            return Candidates(self, positions, np.where(np.isfinite(deltas), deltas, np.float32(0)))
        old = old.astype(np.int32, copy=False)
        return Candidates(self, positions, new - old, old)

    def units(self, positions: Positions) -> npt.NDArray[np.float32]:
        """Return the units at these positions as weights: one a position, or one in all."""
        if self.scale is None:
            return np.array(self.unit, np.float32)
        indices = np.unravel_index(positions, self.change.spec.shape)
        within = zip(indices, self.scale.shape, strict=True)
        return np.asarray(self.scale[tuple(index if side > 1 else 0 for index, side in within)])

    def step(self, rung: Rung) -> tuple[int, int | None]:
        """Return the step in this tensor's units and, off the grid, the exponent of its unit."""
        if self.change.spec.dtype in HALVES:
            return rung.mantissa, min(GRID_MAX, max(GRID_MIN, -rung.power))
        return min(LIMIT, max(1, round(rung.value / self.unit))), None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Changes of one tensor of which the largest are kept."""

    wanted: WantedChange
    positions: Positions
    deltas: npt.NDArray[Any]
    """In units: int32 on a grid and in I8, else float32."""
    old: npt.NDArray[np.int32] | None = None
    """The old weights in units; None where there are no integer bounds."""

    @property
    def sizes(self) -> npt.NDArray[np.float32]:
        """The sizes of the changes in the units in which tensors are compared."""
        sizes: npt.NDArray[np.float32] = np.abs(self.deltas).astype(np.float32)
        return sizes * self.wanted.units(self.positions)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Candidates:
        """Return the candidates that a mask names."""
        old = None if self.old is None else self.old[chosen]
        return Candidates(self.wanted, self.positions[chosen], self.deltas[chosen], old)

    def quantised(self, chosen: npt.NDArray[np.bool_], rung: Rung) -> tuple[Sparse | None, float]:
        """Return the changes that a mask names in whole steps, and the squared error that they remove."""
        places = np.flatnonzero(chosen)
        step, exponent = self.wanted.step(rung)
        size = step if exponent is None else math.ldexp(step, -exponent)
        levels, gains = np.empty(len(places), np.int32), np.empty(len(places))
        for start, stop in chunks(len(places)):
            within = places[start:stop]
            deltas, units = self.deltas[within].astype(np.float64), self.wanted.units(self.positions[within])
            levels[start:stop] = self._bounded(np.rint(deltas / size), within, step)
            removed = deltas**2 - (deltas - levels[start:stop] * size) ** 2
            gains[start:stop] = removed * units.astype(np.float64) ** 2
        nonzero = levels != 0
        positions, levels = self.positions[places[nonzero]], levels[nonzero]
        return (Sparse(positions, levels, step, exponent), float(np.sum(gains))) if len(levels) else (None, 0.0)

    def _bounded(self, levels: npt.NDArray[np.float64], places: npt.NDArray[np.int64], step: int) -> Any:
        """Reduce levels by one where rounding would leave the tensor's bounds."""
        if self.old is None:
            most = LIMIT // step
            return np.clip(levels, -most, most).astype(np.int32)
        ends = self.old[places] + levels * step
        outside = (ends < self.wanted.low) | (ends > self.wanted.high)
        return (levels - np.sign(levels) * outside).astype(np.int32)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Return the candidates of one tensor, whose parts rise, as one."""
    old = [part.old for part in parts if part.old is not None]
    return Candidates(
        parts[0].wanted,
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.deltas for part in parts]),
        np.concatenate(old) if old else None,
    )


def left_out(changes: Sequence[Change]) -> list[str]:
    """Return the names of changed tensors that only an exact diff can change."""
    exact_only = [change for change in changes if not takes("sparse", change.spec)]
    return [change.spec.name for change in exact_only if _changes(change)]


def _changes(change: Change) -> bool:
    return any(old.tobytes() != new.tobytes() for old, new in change.pieces())


def int8_scales(changes: Sequence[Change]) -> Scales:
    """Return the scales of int8 tensors, found by name among the old weights of all tensors."""
    wanted = {beside(change.spec.name, SCALE) for change in changes if change.spec.dtype == "I8"}
    weights = {change.spec.name: change.old_weights for change in changes if change.spec.name in wanted}
    return find_scales(tuple(change.spec for change in changes), weights)


def unscaled(changes: Sequence[Change]) -> list[str]:
    """Return the names of changed int8 tensors without a scale, for whose units a value is assumed."""
    scales = int8_scales(changes)
    unknown = [change for change in changes if change.spec.dtype == "I8" and change.spec.name not in scales]
    return [change.spec.name for change in unknown if _changes(change)]


def wanted_change(change: Change, scale: npt.NDArray[np.float32] | None = None) -> WantedChange | None:
    """Return the change that a sparse diff is to approximate; None for a tensor that it cannot change.

    `scale` is that of an int8 tensor, if it is known.
    """
    spec = change.spec
    if spec.grid is not None:
        return WantedChange(change, math.ldexp(1.0, -spec.grid))
    if spec.dtype == "I8":
        unit = INT8_UNIT if scale is None else float(scale.mean())
        return WantedChange(change, unit, -128, 127, scale)
    return WantedChange(change, 1.0) if spec.dtype in HALVES else None
