"""Magnitude top-k: the largest changes of a fully retrained model are kept and quantised, the others dropped.

Keeping the largest entries of a dense update is what sparsified training does with gradients (Aji and Heafield,
"Sparse Communication for Distributed Gradient Descent", EMNLP 2017). Fine-tuning what is kept, the mask fixed, is the
second stage of Diff Pruning (Guo, Rush and Kim, ACL 2021).

With zeros in place of the parent's weights it is a comparison in the article, the fully retrained model itself pruned
to its largest weights (Han et al., "Learning both Weights and Connections", NeurIPS 2015): a diff whose alpha is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors import arithmetic
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.snapshot import TensorSpec
from diffserver.checkpoints import nearest_sparse
from diffserver.checkpoints.changes import Change
from diffserver.errors import Invalid
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError, Steady
from diffserver.methods.quantiser import Grid, Step, in_range, straight_through
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


@dataclass(frozen=True)
class TopKSchedule:
    """The choice of the mask."""

    from_nothing: bool = False
    """Whether the kept values replace the parent's weights, and are not added to them."""
    aim: float = 1.0
    """The share of the budget that the mask is chosen for: tuned values spread, which lengthens the payload."""


class MaskedValues(nn.Module):
    """One tensor's part of the mask: flat positions, int64 `[k]`, the quantiser's step, and the values, float32 `[k]`.

    Values are added to the parent's weights, or replace them.
    """

    positions: Tensor
    start: Tensor

    def __init__(
        self, positions: Tensor, step: Step, start: Tensor, grid: Grid, values: Tensor, *, added: bool
    ) -> None:
        super().__init__()
        self.step, self.grid, self.added = step, grid, added
        self.values = nn.Parameter(values)
        self.register_buffer("positions", positions, persistent=False)
        self.register_buffer("start", start, persistent=False)

    def forward(self, parent: Tensor) -> Tensor:
        """Return the parent's weights, or zeros, plus the kept values in whole steps."""
        start = parent.flatten() if self.added else torch.zeros_like(parent).flatten()
        used = straight_through(self.levels(self.values.detach()) * self.step.value, self.values)
        return start.index_add(0, self.positions, used).view_as(parent)

    def levels(self, values: Tensor) -> Tensor:
        """Return values in whole steps: at least one, unless they are 0."""
        sizes = (values.abs() / self.step.value).round().clamp(min=1)
        levels = torch.where(values == 0, 0.0, torch.copysign(sizes, values))
        return in_range(levels, self.start, self.step, self.grid)


class TopK(Steady):
    """The best sparse diff to the fully retrained model; its values may be tuned, its mask may not."""

    def __init__(self, setting: Setting, schedule: TopKSchedule) -> None:
        self._table, self._limit, self._alpha = setting.table, setting.limit, 0 if schedule.from_nothing else ONE
        self.parent = setting.parent
        self.parts: dict[str, MaskedValues] = {}
        for spec, stream in zip(self._table, _largest(setting, schedule), strict=True):
            if spec.grid is not None and stream is not None:
                grid = Grid.of_exponent(spec.grid)
                step = Step.of(stream.step, grid)
                values = torch.from_numpy(_targets(setting, spec.name, schedule)[stream.positions])
                positions = torch.from_numpy(stream.positions)
                start = torch.tensor(self.parent[spec.name]).flatten()[positions] * bool(self._alpha)
                self.parts[spec.name] = MaskedValues(positions, step, start, grid, values, added=bool(self._alpha))

    def result(self) -> Diff:
        """Return the kept values as levels; the smallest are dropped until the payload fits.

        Raises MethodError if not even one fits.
        """
        values = {name: part.values.detach() for name, part in self.parts.items()}
        while (length := payload_length(diff := self._diff(values), self._table)) > self._limit:
            sizes = torch.cat([value[value != 0].abs() for value in values.values()])
            if not len(sizes):
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            dropped = min(len(sizes), max(1, round((1 - 0.998 * self._limit / length) * len(sizes))))
            smallest = sizes.kthvalue(dropped).values
            values = {name: torch.where(value.abs() <= smallest, 0.0, value) for name, value in values.items()}
        return diff

    def _diff(self, values: dict[str, Tensor]) -> Diff:
        def stream(spec: TensorSpec) -> Sparse | None:
            if spec.name not in values:
                return None
            part = self.parts[spec.name]
            levels = part.levels(values[spec.name]).cpu().numpy().astype(np.int32)
            nonzero, positions = np.flatnonzero(levels), part.positions.cpu().numpy()
            return (
                Sparse(positions[nonzero], levels[nonzero], part.step.units)
                if nonzero.size or not self._alpha
                else None
            )

        return Diff("sparse", tuple(map(stream, self._table)), self._alpha)


def _targets(setting: Setting, name: str, schedule: TopKSchedule) -> npt.NDArray[np.float32]:
    full = setting.retrained()[name].ravel()
    return full if schedule.from_nothing else full - setting.parent[name].ravel()


def _largest(setting: Setting, schedule: TopKSchedule) -> Sequence[Sparse | None]:
    """Return the changes that fit, per tensor; without the parent's weights, every tensor on a grid has a stream."""
    changes = [_change(setting, spec, schedule) for spec in setting.table]
    try:
        streams = nearest_sparse.sparse(changes, int(schedule.aim * setting.limit)).streams
    except Invalid as error:
        raise MethodError(f"{error.detail}: {error.remedy}") from error
    none = Sparse(np.empty(0, np.int64), np.empty(0, np.int32), 1) if schedule.from_nothing else None
    return [stream if isinstance(stream, Sparse) else none for stream in streams]


def _change(setting: Setting, spec: TensorSpec, schedule: TopKSchedule) -> Change:
    sides = [weights[spec.name].ravel() for weights in (setting.parent, setting.retrained())]
    if spec.grid is None:
        return Change(spec, sides[0], sides[0])
    old, new = (arithmetic.to_grid(side, spec.grid) for side in sides)
    return Change(spec, np.zeros_like(old) if schedule.from_nothing else old, new)


_TUNED_AIM, _TUNED_RATE = 0.93, 1.5e-3

TOPK = Definition(
    TopK,
    schedule=TopKSchedule(),
    helpers=(
        "diffserver.methods.quantiser",
        "diffserver.checkpoints.nearest_sparse",
        "diffserver.checkpoints.quantise",
    ),
    teacher="own",
)
TOPK_TUNED = replace(TOPK, schedule=TopKSchedule(aim=_TUNED_AIM), recipe=Recipe(steps=350, learning_rate=_TUNED_RATE))
PRUNED = replace(TOPK, schedule=TopKSchedule(from_nothing=True), teacher="chain")
PRUNED_TUNED = replace(
    PRUNED,
    schedule=TopKSchedule(from_nothing=True, aim=_TUNED_AIM),
    recipe=Recipe(steps=700, learning_rate=_TUNED_RATE),
)
