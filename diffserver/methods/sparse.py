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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import estimated_length, payload_length
from diffclient.tensors.snapshot import TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError
from diffserver.methods.quantiser import Stages, is_small
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.methods.sparse_part import Phase, SparsePart


@dataclass(frozen=True)
class SparseSchedule:
    """The phases of a sparse diff's training, as shares of training, and the coarseness of its values."""

    pruning_begins: float = 0.10
    pruning_ends: float = 0.50
    quantised: float = 0.60
    """The start of quantised values; the density is steered by the payload's length."""
    fixed: float = 0.85
    """The start of a fixed mask."""
    stages: int = 50
    steerings: int = 25
    """Stages in each of which, once values are quantised, the diff is coded to measure the payload's length."""
    coldest: float = 2.0
    hottest: float = 60.0
    spread: float = 0.7
    """The quantiser's step over the smallest kept magnitude, unless that would take too many levels."""
    finer: float = 8.0
    """The factor by which threshold and step are smaller in tensors of less than two dimensions."""
    levels: int = 127
    """The largest level, on either side of zero."""
    aim: float = 0.985
    """The share of the budget that steering aims at."""

    def pruned(self, progress: float) -> float:
        """Return the progress of pruning, 0 to 1."""
        return min(1.0, max(0.0, (progress - self.pruning_begins) / (self.pruning_ends - self.pruning_begins)))


class SparseDiff:
    """One value for every trained weight, of which fewer and fewer are used as training goes on."""

    def __init__(self, setting: Setting, schedule: SparseSchedule) -> None:
        self._schedule, self._table, self._limit = schedule, setting.table, setting.limit
        self.parent = setting.parent
        self.parts = {
            spec.name: SparsePart(
                self.parent[spec.name], setting.grid(spec), schedule.finer if is_small(spec) else 1.0, schedule.levels
            )
            for spec in setting.trained
        }
        self._stages, self._steerings = Stages(schedule.stages), Stages(schedule.steerings)
        self._density = min(0.5, 5 * setting.budget)  # a first guess, about 6 bits a value
        self._threshold = 0.0
        self._fixed = False
        self._room: Tensor | None = None
        self.numbers: dict[str, float] = {}
        """Figures of the training so far, for logs."""

    def advance(self, progress: float) -> None:
        """Begin a stage if one begins here, and enter the phase of this point of training."""
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
        levels = self._levels()
        while (length := payload_length(diff := self._diff(levels), self._table)) > self._limit:
            if not diff.carried:
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            levels = self._without_smallest(levels, 1 - 0.998 * self._limit / length)
        return diff

    def state(self) -> dict[str, Any]:
        """Return the state to resume training from, without the values: numbers, and each tensor's buffers."""
        parts = {name: {"units": part.units, **dict(part.named_buffers())} for name, part in self.parts.items()}
        stages = (self._stages.state, self._steerings.state)
        return {
            "density": self._density, "threshold": self._threshold, "fixed": self._fixed, "stages": stages,
            "parts": parts,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume training from `state`; values are restored apart from it."""
        self._density, self._threshold, self._fixed = state["density"], state["threshold"], state["fixed"]
        self._stages.state, self._steerings.state = state["stages"]
        for name, part in self.parts.items():
            if self._threshold:  # before the first stage no step is taken
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
        """Prune, steer the density once values are quantised, and in the end fix the mask."""
        self._prune(self._schedule.pruned(progress))
        if progress >= self._schedule.quantised and self._steerings.begins(progress):
            self._steer()
        if progress >= self._schedule.fixed:
            self._fixed = True
            for part in self.parts.values():
                part.mask.copy_(part.sizes() > self._threshold)

    def _prune(self, pruned: float) -> None:
        """Set threshold and temperature for this progress of pruning, 0 to 1."""
        schedule = self._schedule
        temperature = schedule.coldest * (schedule.hottest / schedule.coldest) ** pruned
        density = self._density + (1 - self._density) * (1 - pruned) ** 3
        for name, part in self.parts.items():
            if part.bounded:
                part.confine(self._parent(name))
        sizes = self._sizes()
        dropped = min(len(sizes), max(1, round(len(sizes) * (1 - density))))
        self._threshold = max(float(_in_order(sizes, dropped)), 1e-12)
        for part in self.parts.values():
            part.begin_stage(self._threshold, temperature, schedule.spread)
        self.numbers |= {"density": density, "threshold": self._threshold, "temperature": temperature}

    @torch.no_grad()
    def _sizes(self) -> Tensor:
        """Return the sizes of all values, in memory that is kept: to ask for it anew takes longer than all else."""
        parts = list(self.parts.values())
        counts, device = [part.values.numel() for part in parts], parts[0].values.device
        if self._room is None or self._room.device != device:
            self._room = torch.empty(sum(counts), device=device)
        for part, place in zip(parts, torch.split(self._room, counts), strict=True):
            torch.abs(part.values.flatten(), out=place).mul_(part.finer)
        return self._room

    def _steer(self) -> None:
        """Move the density towards that at which the payload fills the budget."""
        self._enter("quantised")
        length = estimated_length(self._diff(self._levels()), self._table)
        self.numbers["payload_bytes"] = length
        # Half of the way, on a logarithmic scale: where most weights change, length grows faster than density.
        self._density *= min(1.5, max(0.5, math.sqrt(self._schedule.aim * self._limit / length)))

    def _levels(self) -> dict[str, Tensor]:
        return {name: part.levels(self._parent(name)) for name, part in self.parts.items()}

    def _parent(self, name: str) -> Tensor:
        """Return the parent's weights if levels need them, else any tensor."""
        part = self.parts[name]
        return (
            torch.tensor(self.parent[name], dtype=torch.float32, device=part.values.device)
            if part.bounded
            else part.values
        )

    def _without_smallest(self, by_name: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        sizes = torch.cat([self.parts[name].sizes()[levels != 0] for name, levels in by_name.items()])
        dropped = min(len(sizes), max(1, round(share * len(sizes))))
        smallest = _in_order(sizes, dropped)
        return {
            name: torch.where(self.parts[name].sizes() <= smallest, 0.0, levels) for name, levels in by_name.items()
        }

    def _diff(self, levels: dict[str, Tensor]) -> Diff:
        return Diff("sparse", tuple(self._stream(spec, levels) for spec in self._table))

    def _stream(self, spec: TensorSpec, by_name: dict[str, Tensor]) -> Sparse | None:
        if spec.name not in by_name:
            return None
        levels = by_name[spec.name].flatten().cpu().numpy().astype(np.int32)
        positions = np.flatnonzero(levels)
        return Sparse(positions, levels[positions], self.parts[spec.name].units) if len(positions) else None


def _in_order(sizes: Tensor, place: int) -> Tensor:
    """Return the size at this place, counted from 1, if all were in order; some are moved for that."""
    if sizes.device.type != "cpu":
        return _by_bisection(sizes, place)
    sizes.numpy().partition(place - 1)  # the same number, in a tenth of the time
    return sizes[place - 1]


def _by_bisection(sizes: Tensor, place: int) -> Tensor:
    """Return the size at this place: on a GPU in a tenth of kthvalue's time, and without the memory of a sort."""
    bits = sizes.view(torch.int32)  # those of numbers from 0 on are in the numbers' order
    low, high = 0, 0x7F80_0000
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if int((bits <= middle).sum()) >= place else (middle + 1, high)
    return torch.tensor(high, dtype=torch.int32).view(torch.float32)


SPARSE = Definition(
    SparseDiff,
    Recipe(steps=1250, learning_rate=4e-3),
    SparseSchedule(),
    helpers=("diffserver.methods.quantiser", "diffserver.methods.sparse_part", "diffserver.checkpoints.int8_scales"),
)
