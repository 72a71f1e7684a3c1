"""The paper's hashed buckets: every position of a tensor shares the value of its bucket, times a sign of its own.

Positions find their buckets by the client's integer hash, seeded for each update, so no positions travel. Values
become multiples of a step with the quantiser in the loop; the step is steered by the length of the coded payload.
Biases and gains take finer steps, and about as many buckets as positions where the budget has room for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.diff import bucket_hash
from diffclient.diff.streams import Diff, Hashed
from diffclient.payload.encode import estimated_length, payload_length
from diffclient.tensors.snapshot import Array, TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError
from diffserver.methods.quantiser import Grid, Stages, Step, fitting, is_small, largest, may_leave, straight_through
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


@dataclass(frozen=True)
class HashedSchedule:
    """The phases of a hashed diff's training, as shares of training, and the number of its buckets."""

    quantised: float = 0.5
    """The start of quantised values, whose step is steered by the payload's length."""
    fixed: float = 0.85
    """The start of a fixed step, which is steered once more there."""
    stages: int = 10
    """Stages in each of which the step is steered once, while it may change."""
    bits: float = 1.6
    """The bits of a bucket that the number of buckets is chosen for."""
    finer: float = 8.0
    """The factor by which the step is smaller in tensors of less than two dimensions."""
    levels: int = 127
    """The largest level, on either side of zero."""
    aim: float = 0.99
    """The share of the budget that steering aims at."""
    filled: float = 0.985
    """The least share of the budget that is left as it is when training ends."""


_SMALL_BITS, _SMALL_SHARE = 4, 0.25
"""The approximate bits of a small tensor's value, and the share of the budget that such tensors may take unshared."""

_SIGNIFICANT = 8
"""Significant bits of a step: the step alone meets the budget, and with three it would jump by an eighth at least."""

_STRIDE, _PRECISION = 1.25, 1.005
"""The factors between steps as the search for one begins, and between its last two."""


class HashedPart(nn.Module):
    """One tensor's buckets: their values as changes of weights, and each position's bucket and sign.

    Where an int8 tensor has several scales, their mean counts: a bucket is the same number of int8 steps everywhere.

    The step, which changes from stage to stage, stands in a buffer, so that a compiled graph outlives it.
    """

    bucket: Tensor
    sign: Tensor
    down: Tensor
    up: Tensor
    step: Tensor

    def __init__(self, parent: Array, grid: Grid, places: tuple[Tensor, Tensor], count: int, levels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(count))
        self.grid, self.scale, self.max_level = grid, grid.mean_scale, levels
        self.quantised = False
        self.units = 1
        self.bounded = grid.scale is not None
        """Whether a value may lead out of the grid, so that it must be checked; int8 is left by most."""
        bucket, sign = places
        start = torch.tensor(parent, dtype=torch.float32).flatten()
        self._largest = largest(start)
        # The room of each position, turned round by its sign; a bucket has what all of its positions have, and
        # one without positions the whole grid: no payload takes more.
        room = torch.where(sign > 0, grid.low, -grid.high), torch.where(sign > 0, grid.high, -grid.low)
        down, up = (ends - start * sign for ends in room)
        span = torch.full((count,), grid.high - grid.low)
        down = (-span).scatter_reduce(0, bucket, down, "amax")
        up = span.scatter_reduce(0, bucket, up, "amin")
        buffers = {"bucket": bucket, "sign": sign, "down": down, "up": up, "step": torch.ones(())}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, parent: Tensor) -> Tensor:
        """Return the parent's numbers plus each position's signed value."""
        value: Tensor = self.values / self.scale
        if self.quantised:
            value = straight_through(self.levels() * self.step, value)
        return _Spread.apply(value, self.bucket, self.sign, parent)  # type: ignore[no-any-return, no-untyped-call]

    def levels(self) -> Tensor:
        """Return the values as whole levels."""
        levels = (self.values.detach() / self.scale / self.step).round().clamp(-self.max_level, self.max_level)
        if self.bounded:
            levels.clamp_(-fitting(-self.down, self.step), fitting(self.up.clone(), self.step))
        return levels

    @torch.no_grad()
    def confine(self) -> None:
        """Cut values that lead out of the grid: they would be the largest, and change nothing."""
        self.values.clamp_(self.down * self.scale, self.up * self.scale)

    def take(self, units: int) -> None:
        """Set the step, in grid units; from here on values are whole steps."""
        self.units, step = units, Step.of(units, self.grid).value
        self.step.fill_(step)
        self.bounded = may_leave(self.grid, self._largest, self.max_level * step)
        self.quantised = True


class _Spread(torch.autograd.Function):
    """Parent numbers plus each position's signed value; in one new tensor, since this runs at every step."""

    @staticmethod
    def forward(context: Any, values: Tensor, bucket: Tensor, sign: Tensor, parent: Tensor) -> Tensor:
        context.save_for_backward(bucket, sign)
        context.count = len(values)
        # index_select: the same bits as values[bucket] on a processor, in half of the time
        made = values.index_select(0, bucket).mul_(sign).view_as(parent)
        return made.add_(parent) if parent.dtype == made.dtype else made + parent

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        bucket, sign = context.saved_tensors
        signed = gradients[0].flatten() * sign
        return signed.new_zeros(context.count).index_add_(0, bucket, signed), None, None, None


class HashedDiff:
    """The values of the buckets of every trained tensor."""

    def __init__(self, setting: Setting, schedule: HashedSchedule) -> None:
        table = setting.table
        self._schedule, self._table, self._seed = schedule, table, setting.seed & 0xFFFFFFFF
        self._limit = setting.limit
        self.parent = setting.parent
        self._stages = Stages(schedule.stages)
        self._scale, self._fixed = 0.0, False
        self.numbers: dict[str, float] = {}
        """Figures of the training so far, for logs."""
        share = min(1.0, 32 * setting.budget / schedule.bits)
        small = sum(spec.size for spec in setting.trained if is_small(spec))
        roomy = _SMALL_BITS * small < _SMALL_SHARE * 8 * self._limit
        self._finer = {spec.name: schedule.finer if is_small(spec) else 1.0 for spec in table}
        self.parts: dict[str, HashedPart] = {}
        for spec in setting.trained:
            count = max(1, int((1.0 if roomy and is_small(spec) else share) * spec.size))
            bucket, sign = bucket_hash.assign(self._seed, table.index(spec), 0, spec.size, count)
            places = torch.from_numpy(bucket), torch.from_numpy(sign.astype(np.float32))
            grid = setting.grid(spec)
            self.parts[spec.name] = HashedPart(self.parent[spec.name], grid, places, count, schedule.levels)

    def advance(self, progress: float) -> None:
        """Steer the step where a stage begins, while it may change."""
        begins = self._stages.begins(progress)
        if self._fixed or progress < self._schedule.quantised:
            return
        self._fixed = progress >= self._schedule.fixed
        if begins or self._fixed:
            self._steer(self._schedule.aim)

    def result(self) -> Diff:
        """Return the buckets' levels, in the steps of training or, if these miss the budget, in those that fill it.

        Raises MethodError if not even coarse steps fit the budget.
        """
        length = self._length() if self._scale else 0
        if not self._schedule.filled * self._limit <= length <= self._limit:
            self._steer(1.0)
            length = self._length()
        while length > self._limit and self._scale < self._all_zero():  # by a thousandth at most
            self._rescale(self._scale * _PRECISION)
            length = self._length()
        if length > self._limit:
            raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
        return self._diff()

    def state(self) -> dict[str, Any]:
        """Return the state to resume training from, without the values."""
        return {"scale": self._scale, "fixed": self._fixed, "stage": self._stages.state, "seed": self._seed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume training from `state`; raises MethodError if it is that of another seed."""
        if state["seed"] != self._seed:
            raise MethodError(f"the state is of seed {state['seed']}: make the diff with it again")
        self._stages.state, self._fixed = state["stage"], state["fixed"]
        if state["scale"]:
            self._rescale(state["scale"])

    def _steer(self, aim: float) -> None:
        """Set the finest step with which the payload fits this share of the budget, to about half a per cent."""
        for part in self.parts.values():
            if part.bounded:
                part.confine()
        fine, coarse = self._bracket(aim)
        while coarse / fine > _PRECISION:
            middle = (fine * coarse) ** 0.5
            fine, coarse = (fine, middle) if self._fits(middle, aim) else (middle, coarse)
        self._rescale(coarse)
        self.numbers = {"step": coarse, "payload_bytes": estimated_length(self._diff(), self._table)}

    def _bracket(self, aim: float) -> tuple[float, float]:
        """Return a step that is too fine and one that fits; near the last one, as values move little in between."""
        values = torch.cat([part.values.detach() for part in self.parts.values()])
        middle = float(values.square().mean().sqrt()) + 1e-12
        finest, all_zero = 0.05 * middle, self._all_zero()
        scale = max(self._scale or middle, finest)
        if self._fits(scale, aim):
            while scale > finest and self._fits(scale / _STRIDE, aim):
                scale /= _STRIDE
            return scale / _STRIDE, scale
        while not self._fits(scale * _STRIDE, aim) and scale < all_zero:
            scale *= _STRIDE
        return scale, scale * _STRIDE

    def _fits(self, scale: float, aim: float) -> bool:
        """Take a step, and tell whether the payload then fits this share of the budget."""
        self._rescale(scale)
        return estimated_length(self._diff(), self._table) <= aim * self._limit

    def _all_zero(self) -> float:
        """Return a step with which no level is left."""
        return 4 * self._schedule.finer * max(largest(part.values.detach()) for part in self.parts.values())

    def _length(self) -> int:
        return payload_length(self._diff(), self._table)

    def _rescale(self, scale: float) -> None:
        self._scale = scale
        for name, part in self.parts.items():
            part.take(Step.near(scale / self._finer[name], part.grid, _SIGNIFICANT).units)

    def _diff(self) -> Diff:
        return Diff("hashed", tuple(map(self._stream, self._table)), seed=self._seed)

    def _stream(self, spec: TensorSpec) -> Hashed | None:
        part = self.parts.get(spec.name)
        return Hashed(part.levels().cpu().numpy().astype(np.int32), part.units) if part else None


HASHED = Definition(
    HashedDiff,
    Recipe(steps=1250, learning_rate=3e-3),
    HashedSchedule(),
    helpers=("diffserver.methods.quantiser", "diffserver.checkpoints.int8_scales"),
)
