"""The paper's sparse mask: a diff for every weight at first, pruned in steps to what its budget affords.

While the diff is pruned its mask is soft and hardens as the temperature rises; pruned values go on learning, so the
mask is free until the last stages. Then values become multiples of a step, with the quantiser in the loop. The step
is tied to the smallest value that is kept, and the density follows from the length of the coded payload: one number,
`spread`, decides between many coarse values and few fine ones. Biases and gains are cut off later and take finer steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import Array, TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError
from diffserver.methods.quantiser import Stages, Step, bounded, is_small, largest, may_leave, straight_through
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
        """Return how far pruning has come, 0 to 1."""
        return min(1.0, max(0.0, (progress - self.pruning_begins) / (self.pruning_ends - self.pruning_begins)))


Phase = Literal["dense", "soft", "quantised", "fixed"]
"""What of the values is used: all; more of the larger ones; the large ones in whole steps; those under a mask, so."""


class SparsePart(nn.Module):
    """One tensor's values, dense, and what of them is used.

    What changes from stage to stage stands in buffers, so that a compiled graph outlives it.
    """

    relative: Tensor
    temperature: Tensor
    threshold: Tensor
    step: Tensor
    mask: Tensor

    def __init__(self, parent: Array, grid: int, finer: float, levels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(parent.shape))
        self.grid, self.finer, self.most = grid, finer, levels
        self.phase: Phase = "dense"
        self.units = 1
        self.bounded = False
        """Whether a value may lead out of the grid, and levels must be looked at."""
        self._largest = float(np.max(np.abs(parent), initial=0.0))
        for name in ("relative", "temperature", "threshold", "step"):
            self.register_buffer(name, torch.zeros(()), persistent=False)
        self.register_buffer("mask", torch.zeros(parent.shape, dtype=torch.bool), persistent=False)

    def forward(self, parent: Tensor) -> Tensor:
        """The parent's weights plus what of the values is used."""
        return straight_through(self._used(self.values.detach(), parent).add_(parent), self.values)

    def levels(self, parent: Tensor) -> Tensor:
        """The values as whole levels: 0 outside the mask, and where a value is below half a step."""
        levels = self._kept(self.values.detach()).div_(self.step).round_().clamp_(-self.most, self.most)
        return bounded(levels, parent, self.step, self.grid) if self.bounded else levels

    def sizes(self) -> Tensor:
        """Return the sizes by which the largest values are kept."""
        return self.values.detach().abs() * self.finer

    def begin_stage(self, threshold: float, temperature: float, spread: float) -> None:
        """Take a new threshold and temperature, and the step that follows from them."""
        smallest = threshold / self.finer
        self.take(Step.near(max(spread * smallest, largest(self.values.detach()) / self.most), self.grid).units)
        self.relative.fill_(self.finer / threshold)
        self.temperature.fill_(temperature)
        self.threshold.fill_(smallest)

    def take(self, units: int) -> None:
        """Take a step of so many grid units."""
        self.units, step = units, math.ldexp(units, -self.grid)
        self.step.fill_(step)
        self.bounded = may_leave(self.grid, self._largest, self.most * step)

    def _used(self, value: Tensor, parent: Tensor) -> Tensor:
        """Return the values in use, as a new tensor; the rest is done in place, as this runs at every step."""
        if self.phase == "dense":
            return value.clone()
        if self.phase == "soft":
            relative = value.abs().mul_(self.relative)
            return relative.sub_(1).mul_(self.temperature).sigmoid_().mul_(value)
        return self.levels(parent).mul_(self.step)

    def _kept(self, value: Tensor) -> Tensor:
        return value * (self.mask if self.phase == "fixed" else value.abs() > self.threshold)


class SparseDiff:
    """One value for every weight on a grid; what of them is used shrinks as training goes on."""

    def __init__(self, setting: Setting, schedule: SparseSchedule) -> None:
        self._schedule, self._table, self._limit = schedule, setting.table, setting.limit
        self.parent = setting.parent
        self.parts = {
            spec.name: SparsePart(
                self.parent[spec.name], spec.grid or 0, schedule.finer if is_small(spec) else 1.0, schedule.levels
            )
            for spec in setting.trained
        }
        self._stages, self._steerings = Stages(schedule.stages), Stages(schedule.steerings)
        self._density = min(0.5, 5 * setting.budget)  # a first guess, about 6 bits a value
        self._threshold = 0.0
        self._fixed = False
        self.numbers: dict[str, float] = {}
        """What may be followed as training goes on."""

    def advance(self, progress: float) -> None:
        """Begin a stage where one begins, and use what of the values is to be used at this point."""
        if self._stages.begins(progress) and not self._fixed and progress >= self._schedule.pruning_begins:
            self._begin_stage(progress)
        quantised = progress >= self._schedule.quantised
        self._enter("dense" if self._threshold == 0.0 else "soft" if not quantised else self._hard)

    def result(self) -> Diff:
        """Return the kept values as levels; the smallest are dropped until the payload fits.

        Raises MethodError if not even an empty payload fits the budget.
        """
        if not self._fixed:
            self._begin_stage(1.0)
        self._enter("fixed")
        kept = self._levels()
        while (length := payload_length(diff := self._diff(kept), self._table)) > self._limit:
            if not diff.carried:
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            kept = self._without_smallest(kept, 1 - 0.998 * self._limit / length)
        return diff

    def state(self) -> dict[str, Any]:
        """All that training goes on from, but for the values: numbers, and each tensor's buffers."""
        parts = {name: {"units": part.units, **dict(part.named_buffers())} for name, part in self.parts.items()}
        stages = (self._stages.state, self._steerings.state)
        return {
            "density": self._density, "threshold": self._threshold, "fixed": self._fixed, "stages": stages,
            "parts": parts,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up training where `state` was read; the values are given back apart from it."""
        self._density, self._threshold, self._fixed = state["density"], state["threshold"], state["fixed"]
        self._stages.state, self._steerings.state = state["stages"]
        for name, part in self.parts.items():
            part.take(state["parts"][name]["units"])
            for buffer_name, buffer in part.named_buffers():
                buffer.copy_(state["parts"][name][buffer_name])

    @property
    def _hard(self) -> Phase:
        return "fixed" if self._fixed else "quantised"

    def _enter(self, phase: Phase) -> None:
        for part in self.parts.values():
            if part.phase != phase:
                part.phase = phase

    def _begin_stage(self, progress: float) -> None:
        """Choose threshold and temperature, and in the end the mask."""
        schedule = self._schedule
        pruned = schedule.pruned(progress)
        temperature = schedule.coldest * (schedule.hottest / schedule.coldest) ** pruned
        density = self._density + (1 - self._density) * (1 - pruned) ** 3
        sizes = torch.cat([part.sizes().flatten() for part in self.parts.values()])
        dropped = min(len(sizes), max(1, round(len(sizes) * (1 - density))))
        self._threshold = max(float(sizes.kthvalue(dropped).values), 1e-12)
        for part in self.parts.values():
            part.begin_stage(self._threshold, temperature, schedule.spread)
        self.numbers |= {"density": density, "threshold": self._threshold, "temperature": temperature}
        if progress >= schedule.quantised and self._steerings.begins(progress):
            self._enter("quantised")
            length = payload_length(self._diff(self._levels()), self._table)
            self.numbers["payload_bytes"] = length
            # Half of the way, on a logarithmic scale: where most weights change, length grows faster than density.
            self._density *= min(1.5, max(0.5, math.sqrt(schedule.aim * self._limit / length)))
        if progress >= schedule.fixed:
            self._fixed = True
            for part in self.parts.values():
                part.mask.copy_(part.sizes() > self._threshold)

    def _levels(self) -> dict[str, Tensor]:
        return {name: part.levels(self._parent(name)) for name, part in self.parts.items()}

    def _parent(self, name: str) -> Tensor:
        """The parent's weights, where they are needed at all."""
        part = self.parts[name]
        return torch.tensor(self.parent[name], device=part.values.device) if part.bounded else part.values

    def _without_smallest(self, kept: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        sizes = torch.cat([self.parts[name].sizes()[levels != 0] for name, levels in kept.items()])
        dropped = min(len(sizes), max(1, round(share * len(sizes))))
        smallest = sizes.kthvalue(dropped).values
        return {name: torch.where(self.parts[name].sizes() <= smallest, 0.0, levels) for name, levels in kept.items()}

    def _diff(self, kept: dict[str, Tensor]) -> Diff:
        return Diff("sparse", tuple(self._stream(spec, kept) for spec in self._table))

    def _stream(self, spec: TensorSpec, kept: dict[str, Tensor]) -> Sparse | None:
        if spec.name not in kept:
            return None
        levels = kept[spec.name].flatten().cpu().numpy().astype(np.int32)
        positions = np.flatnonzero(levels)
        return Sparse(positions, levels[positions], self.parts[spec.name].units) if len(positions) else None


SPARSE = Definition(
    SparseDiff, Recipe(steps=1250, learning_rate=4e-3), SparseSchedule(), helpers=("diffserver.methods.quantiser",)
)
