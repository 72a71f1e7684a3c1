"""The paper's sparse mask: a diff for every weight at first, pruned in steps to what its budget affords.

While the diff is pruned its mask is soft and hardens as the temperature rises; pruned values go on learning, so the
mask is free until the last stages. Then values become multiples of a step, with the quantiser in the loop. The step
is tied to the smallest value that is kept, and the density follows from the length of the coded payload: one number,
`spread`, decides between many coarse values and few fine ones. Biases and gains are cut off later and take finer steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError
from diffserver.methods.quantiser import Stages, Step, in_range, is_small, straight_through
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


@dataclass(frozen=True)
class SparseSchedule:
    """When what happens, as shares of training, and how coarse the values are."""

    pruning_begins: float = 0.10
    pruning_ends: float = 0.50
    quantised: float = 0.60
    """From here on values are quantised, and the density is steered by the payload's length."""
    fixed: float = 0.85
    """From here on the mask stays."""
    stages: int = 50
    steerings: int = 25
    """Stages of which each, once values are quantised, takes a coding to learn the payload's length."""
    coldest: float = 2.0
    hottest: float = 60.0
    spread: float = 0.7
    """The quantiser's step over the smallest kept magnitude, unless that would take too many levels."""
    finer: float = 8.0
    """How many times smaller threshold and step are in tensors of less than two dimensions."""
    levels: int = 127
    """The largest level, on either side of zero."""
    aim: float = 0.985
    """The share of the budget that is aimed at."""

    def pruned(self, progress: float) -> float:
        """How far pruning has come, 0 to 1."""
        return min(1.0, max(0.0, (progress - self.pruning_begins) / (self.pruning_ends - self.pruning_begins)))


class SparseDiff:
    """One value for every weight on a grid; what of them is used shrinks as training goes on."""

    def __init__(self, setting: Setting, schedule: SparseSchedule) -> None:
        self._schedule, self._table, self._limit = schedule, setting.table, setting.limit
        self._parent = {name: torch.tensor(array) for name, array in setting.parent.items()}
        self._on_grid = {spec.name: spec.grid for spec in self._table if spec.grid is not None and spec.size}
        self._finer = {spec.name: schedule.finer if is_small(spec) else 1.0 for spec in self._table}
        self._values = {name: nn.Parameter(torch.zeros_like(self._parent[name])) for name in self._on_grid}
        self._stages, self._steerings = Stages(schedule.stages), Stages(schedule.steerings)
        self._density = min(0.5, 5 * setting.budget)  # a first guess, about 6 bits a value
        self._temperature = schedule.coldest
        self._threshold = 0.0
        self._steps: dict[str, Step] = {}
        self._masks: dict[str, Tensor] = {}

    def to(self, device: str) -> None:
        """Moves parent and values."""
        self._parent = {name: tensor.to(device) for name, tensor in self._parent.items()}
        self._values = {name: nn.Parameter(value.detach().to(device)) for name, value in self._values.items()}

    def parameters(self) -> Iterable[nn.Parameter]:
        """The values, dense."""
        return self._values.values()

    def weights(self, progress: float) -> dict[str, Tensor]:
        """The parent's weights plus what of the values is used at this point."""
        if self._stages.begins(progress) and not self._masks:
            self._begin_stage(progress)
        return self._parent | {
            name: straight_through(self._used(name, value.detach(), progress).add_(self._parent[name]), value)
            for name, value in self._values.items()
        }

    def result(self) -> Diff:
        """What is kept, as levels; the smallest values are dropped until the payload fits.

        Raises MethodError if not even an empty payload fits the budget.
        """
        if not self._masks:
            self._begin_stage(1.0)
        kept = {name: self._levels(name) for name in self._values}
        while (length := payload_length(found := self._diff(kept), self._table)) > self._limit:
            if not found.carried:
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            kept = self._without_smallest(kept, 1 - 0.998 * self._limit / length)
        return found

    def _begin_stage(self, progress: float) -> None:
        """Decides on threshold and temperature, and in the end on the mask."""
        schedule = self._schedule
        if progress < schedule.pruning_begins:
            return
        pruned = schedule.pruned(progress)
        self._temperature = schedule.coldest * (schedule.hottest / schedule.coldest) ** pruned
        density = self._density + (1 - self._density) * (1 - pruned) ** 3
        sizes = torch.cat([self._sizes(name).flatten() for name in self._values])
        dropped = min(len(sizes), max(1, round(len(sizes) * (1 - density))))
        self._threshold = max(float(sizes.kthvalue(dropped).values), 1e-12)
        self._steps = {name: self._step(name, grid) for name, grid in self._on_grid.items()}
        if progress >= schedule.quantised and self._steerings.begins(progress):
            length = payload_length(self._diff({name: self._levels(name) for name in self._values}), self._table)
            # Half of the way, on a logarithmic scale: where most weights change, length grows faster than density.
            self._density *= min(1.5, max(0.5, math.sqrt(schedule.aim * self._limit / length)))
        if progress >= schedule.fixed:
            self._masks = {name: (self._sizes(name) > self._threshold).float() for name in self._values}

    def _sizes(self, name: str) -> Tensor:
        """How large a tensor's values count when the largest are kept."""
        return self._values[name].detach().abs() * self._finer[name]

    def _step(self, name: str, grid: int) -> Step:
        smallest, largest = self._threshold / self._finer[name], float(self._values[name].detach().abs().max())
        return Step.near(max(self._schedule.spread * smallest, largest / self._schedule.levels), grid)

    def _used(self, name: str, value: Tensor, progress: float) -> Tensor:
        """What of a tensor's values is used, as a new tensor; the rest is done in place, for this is every step's."""
        if self._threshold == 0.0:
            return value.clone()
        if progress < self._schedule.quantised:
            relative = value.abs().mul_(self._finer[name] / self._threshold)
            return relative.sub_(1).mul_(self._temperature).sigmoid_().mul_(value)
        return self._levels(name).mul_(self._steps[name].value)

    def _levels(self, name: str) -> Tensor:
        """One tensor's values as whole levels: 0 outside the mask, and where a value is below half a step."""
        value, step, most = self._values[name].detach(), self._steps[name], self._schedule.levels
        levels = self._kept(name, value).div_(step.value).round_().clamp_(-most, most)
        return in_range(levels, self._parent[name], step, self._on_grid[name])

    def _kept(self, name: str, value: Tensor) -> Tensor:
        if self._masks:
            return value * self._masks[name]
        return nn.functional.hardshrink(value, self._threshold / self._finer[name])

    def _without_smallest(self, kept: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        sizes = torch.cat([self._sizes(name)[levels != 0] for name, levels in kept.items()])
        dropped = min(len(sizes), max(1, round(share * len(sizes))))
        smallest = sizes.kthvalue(dropped).values
        return {name: torch.where(self._sizes(name) <= smallest, 0.0, levels) for name, levels in kept.items()}

    def _diff(self, kept: dict[str, Tensor]) -> Diff:
        return Diff("sparse", tuple(self._stream(spec, kept) for spec in self._table))

    def _stream(self, spec: TensorSpec, kept: dict[str, Tensor]) -> Sparse | None:
        if spec.name not in kept:
            return None
        levels = kept[spec.name].flatten().cpu().numpy().astype(np.int32)
        positions = np.flatnonzero(levels)
        return Sparse(positions, levels[positions], self._steps[spec.name].units) if len(positions) else None


SPARSE = Definition(
    SparseDiff, Recipe(steps=1250, learning_rate=4e-3), SparseSchedule(), helpers=("diffserver.methods.quantiser",)
)
