"""The quantiser in training: stages of training, grids and steps on them, gradients through rounding.

Tensors of less than two dimensions, a network's biases and gains, take finer steps: they are few, and each changes a
whole channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffclient.tensors.arithmetic import LIMIT
from diffclient.tensors.snapshot import Array, TensorSpec

_MARGIN = 1 << 8
"""Grid units kept from the end of the grid: quotients in fp32 are off by a few."""


class Stages:
    """Equal stages of training, for costly decisions that are taken once in each."""

    def __init__(self, count: int) -> None:
        self._count, self._last = count, -1

    def begins(self, progress: float) -> bool:
        """Tell whether `progress` (0 to 1) is the first call in its stage."""
        stage = int(progress * self._count)
        started, self._last = stage != self._last, stage
        return started

    @property
    def state(self) -> int:
        """The stage that was begun last."""
        return self._last

    @state.setter
    def state(self, stage: int) -> None:
        self._last = stage


@dataclass(frozen=True, eq=False)
class Grid:
    """The numbers that a tensor may hold: multiples of 2^-e, which are its weights, or int8, with a scale."""

    unit: float
    """The distance of two numbers: 2^-e, or 1 in int8."""
    low: float
    """The least number, and below, for fp32, the largest."""
    high: float
    scale: Tensor | None = None
    """The weight that 1 stands for, float32, each side 1 or the tensor's; None where the numbers are the weights."""

    @staticmethod
    def of_exponent(exponent: int) -> Grid:
        """Return a grid of fp32 weights."""
        end = math.ldexp(LIMIT - _MARGIN, -exponent)
        return Grid(math.ldexp(1.0, -exponent), -end, end)

    @staticmethod
    def of_int8(scale: Array) -> Grid:
        """Return int8 with the scale of a tensor."""
        return Grid(1.0, -128.0, 127.0, torch.from_numpy(np.array(scale, np.float32)))

    @property
    def mean_scale(self) -> float:
        """The weight that 1 stands for, on average."""
        return 1.0 if self.scale is None else float(self.scale.mean())


@dataclass(frozen=True)
class Step:
    """The quantiser's step in one tensor: `units` of its grid, which are `value` as the tensor holds it."""

    units: int
    value: float

    @staticmethod
    def near(weight: float, grid: Grid, significant: int = 3) -> Step:
        """Return a step on the grid that is near `weight`, from one unit to the most that a payload holds.

        It has few significant bits: short in the records, and sparse diffs, when merged, share large powers of two.
        """
        units = min(LIMIT, max(1, round(weight / (grid.unit * grid.mean_scale))))
        shift = max(0, units.bit_length() - significant)
        return Step.of(round(units / (1 << shift)) << shift, grid)

    @staticmethod
    def of(units: int, grid: Grid) -> Step:
        """Return the step of so many units."""
        return Step(units, units * grid.unit)


def is_small(spec: TensorSpec) -> bool:
    """Tell whether a tensor takes finer steps."""
    return len(spec.shape) < 2


def in_range(levels: Tensor, parent: Tensor, step: Step, grid: Grid) -> Tensor:
    """Return the levels, nearer to zero where parent and value together would leave the grid."""
    if may_leave(grid, largest(parent), largest(levels) * step.value):
        return bounded(levels.clone(), parent, step.value, grid)
    return levels  # almost always, and much cheaper


def may_leave(grid: Grid, number: float, value: float) -> bool:
    """Tell whether a number of the grid and a value of these magnitudes may together leave it."""
    return number + value > grid.high


def bounded(levels: Tensor, parent: Tensor, step: Tensor | float, grid: Grid) -> Tensor:
    """Return the levels as `in_range` does, in place, without its check whether any may leave the grid."""
    room = grid.high - parent
    levels.clamp_(max=fitting(room, step))
    torch.sub(parent, grid.low, out=room)  # memory that is there is faster
    return levels.clamp_(min=fitting(room, step).neg_())


def fitting(room: Tensor, step: Tensor | float) -> Tensor:
    """Return how many steps fit into the room that there is, in place."""
    return room.div_(step).floor_().clamp_(min=0)


def largest(values: Tensor) -> float:
    """Return the largest magnitude; 0 of no values."""
    low, high = values.aminmax() if values.numel() else (0.0, 0.0)
    return max(-float(low), float(high))


def straight_through(used: Tensor, values: Tensor, scale: Tensor | None = None) -> Tensor:
    """Return `used`, with gradients as if it were `values`, or `values` / `scale`."""
    return _StraightThrough.apply(used, values, scale)  # type: ignore[no-any-return, no-untyped-call]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, used: Tensor, values: Tensor, scale: Tensor | None) -> Tensor:  # noqa: ARG004 - gradients
        context.scale = scale
        return used

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        return None, gradients[0] if context.scale is None else gradients[0] / context.scale, None
