"""The paper's hashed buckets: every position of a tensor shares the value of its bucket, times a sign of its own.

Positions find their buckets by the client's integer hash, seeded for each update, so no positions travel. Values
become multiples of a step with the quantiser in the loop; the step is steered by the length of the coded payload.
Biases and gains take finer steps, and about as many buckets as positions where the budget has room for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.diff import bucket_hash
from diffclient.diff.streams import Diff, Hashed
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError
from diffserver.methods.quantiser import Stages, Step, in_range, is_small, straight_through
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


@dataclass(frozen=True)
class HashedSchedule:
    """When what happens, as shares of training, and how many buckets there are."""

    quantised: float = 0.5
    """From here on values are quantised, and the step is steered by the payload's length."""
    fixed: float = 0.85
    """From here on the step stays."""
    stages: int = 10
    bits: float = 1.6
    """Bits a bucket that the number of buckets is chosen for."""
    finer: float = 8.0
    """How many times smaller the step is in tensors of less than two dimensions."""
    levels: int = 127
    """The largest level, on either side of zero."""
    aim: float = 0.99
    """The share of the budget that is aimed at."""


_SMALL_BITS, _SMALL_SHARE = 4, 0.25
"""What a value of a small tensor takes, about, and how much of the budget such tensors may take without sharing."""

_SIGNIFICANT = 8
"""Bits of a step: the budget is met by the step alone, and with three bits it would jump by an eighth at least."""


class HashedDiff:
    """The values of the buckets of every tensor on a grid."""

    def __init__(self, setting: Setting, schedule: HashedSchedule) -> None:
        table = setting.table
        self._schedule, self._table, self._seed = schedule, table, setting.seed & 0xFFFFFFFF
        self._limit = setting.limit
        self._parent = {name: torch.tensor(array) for name, array in setting.parent.items()}
        self._stages = Stages(schedule.stages)
        self._scale = 0.0
        share = min(1.0, 32 * setting.budget / schedule.bits)
        roomy = _SMALL_BITS * sum(spec.size for spec in table if is_small(spec)) < _SMALL_SHARE * 8 * self._limit
        self._finer = {spec.name: schedule.finer if is_small(spec) else 1.0 for spec in table}
        self._values: dict[str, nn.Parameter] = {}
        self._places: dict[str, tuple[Tensor, Tensor]] = {}
        self._farthest: dict[str, Tensor] = {}
        for index, spec in enumerate(table):
            if spec.grid is not None and spec.size:
                count = max(1, int((1.0 if roomy and is_small(spec) else share) * spec.size))
                bucket, sign = bucket_hash.assign(self._seed, index, 0, spec.size, count)
                self._places[spec.name] = torch.from_numpy(bucket), torch.from_numpy(sign.astype(np.float32))
                self._values[spec.name] = nn.Parameter(torch.zeros(count))
                sizes = self._parent[spec.name].abs().flatten()
                self._farthest[spec.name] = torch.zeros(count).scatter_reduce(
                    0, self._places[spec.name][0], sizes, "amax"
                )
        self._grids = {spec.name: spec.grid for spec in table if spec.grid is not None}

    def to(self, device: str) -> None:
        """Moves parent, places and values."""
        self._parent = {name: tensor.to(device) for name, tensor in self._parent.items()}
        self._places = {name: (bucket.to(device), sign.to(device)) for name, (bucket, sign) in self._places.items()}
        self._farthest = {name: tensor.to(device) for name, tensor in self._farthest.items()}
        self._values = {name: nn.Parameter(value.detach().to(device)) for name, value in self._values.items()}

    def parameters(self) -> Iterable[nn.Parameter]:
        """The buckets' values."""
        return self._values.values()

    def weights(self, progress: float) -> dict[str, Tensor]:
        """The parent's weights plus each position's signed value."""
        if self._stages.begins(progress) and self._schedule.quantised <= progress < self._schedule.fixed:
            self._steer()
        return self._parent | {name: self._parent[name] + self._spread(name) for name in self._values}

    def result(self) -> Diff:
        """The buckets' levels, in steps coarse enough for the budget.

        Raises MethodError if not even coarse steps fit the budget.
        """
        if not self._scale:
            self._steer()
        largest = max(float(value.detach().abs().max()) for value in self._values.values())
        while payload_length(found := self._diff(), self._table) > self._limit:
            if self._scale > 4 * self._schedule.finer * largest:  # every level is 0 already
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            self._scale *= 1.02
        return found

    def _steer(self) -> None:
        """Takes the finest step with which the payload fits, to about one per cent."""
        values = torch.cat([value.detach() for value in self._values.values()])
        middle = float(values.square().mean().sqrt()) + 1e-12
        fine, coarse = 0.05 * middle, 20 * middle
        while coarse / fine > 1.01:
            self._scale = (fine * coarse) ** 0.5
            fits = payload_length(self._diff(), self._table) <= self._schedule.aim * self._limit
            fine, coarse = (fine, self._scale) if fits else (self._scale, coarse)
        self._scale = coarse

    def _spread(self, name: str) -> Tensor:
        value: Tensor = self._values[name]
        if self._scale:
            value = straight_through(self._levels(name) * self._step(name).value, value)
        bucket, sign = self._places[name]
        return (value[bucket] * sign).view_as(self._parent[name])

    def _step(self, name: str) -> Step:
        return Step.near(self._scale / self._finer[name], self._grids[name], _SIGNIFICANT)

    def _levels(self, name: str) -> Tensor:
        value, step = self._values[name].detach(), self._step(name)
        sizes = (value.abs() / step.value).round().clamp(max=self._schedule.levels)
        return torch.copysign(in_range(sizes, self._farthest[name], step, self._grids[name]), value)

    def _diff(self) -> Diff:
        return Diff("hashed", tuple(map(self._stream, self._table)), seed=self._seed)

    def _stream(self, spec: TensorSpec) -> Hashed | None:
        if spec.name not in self._values:
            return None
        return Hashed(self._levels(spec.name).cpu().numpy().astype(np.int32), self._step(spec.name).units)


HASHED = Definition(
    HashedDiff, Recipe(steps=1250, learning_rate=3e-3), HashedSchedule(), helpers=("diffserver.methods.quantiser",)
)
