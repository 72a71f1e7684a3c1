"""One tensor's part of a sparse diff: dense values, and the phases in which fewer and fewer of them are used.

Thresholds, temperatures and the density are left to `sparse`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array
from diffserver.methods.quantiser import Grid, Step, bounded, largest, may_leave, straight_through

Phase = Literal["dense", "soft", "quantised", "fixed"]
"""The values in use: all; the larger ones more; the large ones, in whole steps; those in a mask, in whole steps."""


class SparsePart(nn.Module):
    """One tensor's values as changes of weights, dense, of which each phase uses a part.

    Of an int8 tensor it makes floats, which are whole numbers as soon as values are quantised. What changes from stage
    to stage stands in buffers, so that a compiled graph outlives it.
    """

    relative: Tensor
    temperature: Tensor
    threshold: Tensor
    step: Tensor
    mask: Tensor
    scale: Tensor | None

    def __init__(self, parent: Array, grid: Grid, finer: float, levels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(parent.shape))
        self.grid, self.finer, self.max_level = grid, finer, levels
        self.phase: Phase = "dense"
        self.units = 1
        self.bounded = grid.scale is not None
        """Whether a value may lead out of the grid, so that it must be checked; int8 is left by most."""
        self._largest = float(np.max(np.abs(parent.astype(np.float32, copy=False)), initial=0.0))
        for name in ("relative", "temperature", "threshold", "step"):
            self.register_buffer(name, torch.zeros(()), persistent=False)
        self.register_buffer("mask", torch.zeros(parent.shape, dtype=torch.bool), persistent=False)
        self.register_buffer("scale", grid.scale, persistent=False)

    def forward(self, parent: Tensor) -> Tensor:
        """Return the parent's numbers plus the used values."""
        start = parent if self.scale is None else parent.float()
        made = self._used(self.values.detach(), start).add_(start)
        if self.scale is not None:
            made.clamp_(self.grid.low, self.grid.high)
        return straight_through(made, self.values, self.scale)

    def levels(self, parent: Tensor) -> Tensor:
        """Return the values as whole levels: 0 outside the mask, and where a value is below half a step.

        `parent` holds the parent's numbers as floats.
        """
        levels = self._unscaled(self._kept(self.values.detach())).div_(self.step).round_()
        levels.clamp_(-self.max_level, self.max_level)
        return bounded(levels, parent, self.step, self.grid) if self.bounded else levels

    def sizes(self) -> Tensor:
        """Return the sizes by which the largest values are chosen."""
        return self.values.detach().abs() * self.finer

    @torch.no_grad()
    def confine(self, parent: Tensor) -> None:
        """Cut values that lead out of the grid: they would be the largest, and change nothing."""
        ends = self.grid.low - parent, self.grid.high - parent
        self.values.clamp_(*(ends if self.scale is None else (end.mul_(self.scale) for end in ends)))

    def begin_stage(self, threshold: float, temperature: float, spread: float) -> None:
        """Set threshold and temperature, and the step that follows from them."""
        smallest = threshold / self.finer
        self.take(Step.near(max(spread * smallest, largest(self.values.detach()) / self.max_level), self.grid).units)
        self.relative.fill_(self.finer / threshold)
        self.temperature.fill_(temperature)
        self.threshold.fill_(smallest)

    def take(self, units: int) -> None:
        """Set the step, in grid units."""
        self.units, step = units, Step.of(units, self.grid).value
        self.step.fill_(step)
        self.bounded = may_leave(self.grid, self._largest, self.max_level * step)

    def _used(self, value: Tensor, parent: Tensor) -> Tensor:
        """Return the used values as a new tensor; later operations are in place, since this runs at every step."""
        if self.phase == "dense":
            return self._unscaled(value.clone())
        if self.phase == "soft":
            relative = value.abs().mul_(self.relative)
            return self._unscaled(relative.sub_(1).mul_(self.temperature).sigmoid_().mul_(value))
        return self.levels(parent).mul_(self.step)

    def _unscaled(self, weights: Tensor) -> Tensor:
        """Return changes of weights as changes of the tensor's numbers, in place."""
        return weights if self.scale is None else weights.div_(self.scale)

    def _kept(self, value: Tensor) -> Tensor:
        """Return the values that are used as they are, and 0 for all others.

        It is done in place, for a new tensor costs more than all else here, and a product with booleans makes two.
        """
        if self.phase == "fixed":
            return torch.empty_like(value).copy_(self.mask).mul_(value)
        return value.abs().sub_(self.threshold).sign_().clamp_(min=0).mul_(value)
