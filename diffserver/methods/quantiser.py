"""The quantiser in training: stages of training, steps on a tensor's grid, gradients through rounding.

Tensors of less than two dimensions, a network's biases and gains, take finer steps: they are few, and each changes a
whole channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from diffclient.tensors.arithmetic import LIMIT
from diffclient.tensors.snapshot import TensorSpec

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


@dataclass(frozen=True)
class Step:
    """The quantiser's step in one tensor: `units` of its grid, which are `value`."""

    units: int
    value: float

    @staticmethod
    def near(value: float, grid: int, significant: int = 3) -> Step:
        """Return a step on the grid of exponent `grid` near `value`, from one unit to the most that a payload holds.

        It has few significant bits: short in the records, and sparse diffs, when merged, share large powers of two.
        """
        units = min(LIMIT, max(1, round(math.ldexp(value, grid))))
        shift = max(0, units.bit_length() - significant)
        units = round(units / (1 << shift)) << shift
        return Step(units, math.ldexp(units, -grid))


def is_small(spec: TensorSpec) -> bool:
    """Tell whether a tensor takes finer steps."""
    return len(spec.shape) < 2


def in_range(levels: Tensor, parent: Tensor, step: Step, grid: int) -> Tensor:
    """Return the levels, nearer to zero where parent and value together would leave the grid of that exponent."""
    if may_leave(grid, largest(parent), largest(levels) * step.value):
        return bounded(levels, parent, step.value, grid)
    return levels  # almost always, and much cheaper


def may_leave(grid: int, weight: float, value: float) -> bool:
    """Tell whether a weight and a value of these magnitudes may together leave the grid of that exponent."""
    return weight + value > _end(grid)


def bounded(levels: Tensor, parent: Tensor, step: Tensor | float, grid: int) -> Tensor:
    """Return the levels as `in_range` does, without its check whether any may leave the grid."""
    most, least = ((side - parent).div_(step) for side in (_end(grid), -_end(grid)))
    return levels.clamp(least.ceil_().clamp_(max=0), most.floor_().clamp_(min=0))


def _end(grid: int) -> float:
    return math.ldexp(LIMIT - _MARGIN, -grid)


def largest(values: Tensor) -> float:
    """Return the largest magnitude; 0 of no values."""
    low, high = values.aminmax() if values.numel() else (0.0, 0.0)
    return max(-float(low), float(high))


def straight_through(used: Tensor, values: Tensor) -> Tensor:
    """Return `used`, with gradients as if it were `values`."""
    return _StraightThrough.apply(used, values)  # type: ignore[no-any-return, no-untyped-call]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(_: FunctionCtx, used: Tensor, values: Tensor) -> Tensor:  # noqa: ARG004 - gradients go there
        return used

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0]
