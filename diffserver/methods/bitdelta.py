"""BitDelta: of every change its sign is kept, times one scale a tensor (Liu et al., "BitDelta: Your Fine-Tune May Only
Be Worth One Bit", NeurIPS 2024).

The scale begins as the mean magnitude of the tensor's changes, which has the least squared error, and is then trained.
At its natural size, about 1/32 of the fp32 bytes, every weight changes. In a smaller budget the rows (first axis)
with the largest mean change are kept, and all others stay the parent's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors.arithmetic import LIMIT
from diffclient.tensors.snapshot import TensorSpec
from diffserver.methods.definition import Definition
from diffserver.methods.method import MethodError, Steady
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting

Rows = dict[str, npt.NDArray[np.bool_]]
"""A mask of the rows of each tensor that change."""

_STEP_BYTES = 4
"""The most bytes of a step in the payload, and so the most by which a trained scale may lengthen it."""


class BitDelta(Steady):
    """Signs that stay, and a scale for every tensor that is trained as a factor of its first value."""

    def __init__(self, setting: Setting) -> None:
        self._table = setting.table
        self._grids = {spec.name: spec.grid for spec in setting.table if spec.grid is not None and spec.size}
        self.parent = setting.parent
        full = setting.retrained()
        self._deltas = {name: _as_rows(full[name] - self.parent[name]) for name in self._grids}
        self._limit = setting.limit
        self._rows = self._choose()
        self.parts = {name: Signs(torch.from_numpy(self._signed(name)), self._scale(name)) for name in self._grids}

    def result(self) -> Diff:
        """Return one level, +1 or -1, for every weight of the kept rows."""
        return self._diff(self._rows, {name: float(part.factor.detach()) for name, part in self.parts.items()})

    def _choose(self) -> Rows:
        """Return as many rows as the budget allows, the largest mean change first; raises MethodError if none fits."""
        means = np.concatenate([np.abs(delta).mean(axis=1) for delta in self._deltas.values()])
        ranked, fits, too_many = np.argsort(-means, kind="stable"), 0, len(means) + 1
        while too_many - fits > 1:
            # All of them are tried first: the natural size may fit.
            count = len(means) if too_many > len(means) and not fits else (fits + too_many) // 2
            length = payload_length(self._diff(self._marked_rows(ranked[:count]), {}), self._table)
            within = length + _STEP_BYTES * len(self._table) <= self._limit
            fits, too_many = (count, too_many) if within else (fits, count)
        if not fits:
            raise MethodError(f"the budget of {self._limit} bytes is less than one row of signs takes: raise it")
        return self._marked_rows(ranked[:fits])

    def _marked_rows(self, numbers: npt.NDArray[np.int64]) -> Rows:
        counts = [len(delta) for delta in self._deltas.values()]
        marked = np.zeros(sum(counts), np.bool_)
        marked[numbers] = True
        return dict(zip(self._deltas, np.split(marked, np.cumsum(counts)[:-1]), strict=True))

    def _scale(self, name: str) -> float:
        deltas = self._deltas[name][self._rows[name]]
        return float(np.abs(deltas).mean()) if deltas.size else 0.0

    def _signed(self, name: str) -> npt.NDArray[np.float32]:
        """Return +1, -1, or 0 in rows that stay: float32 `[rows, weights of a row]`."""
        signs = np.where(self._deltas[name] > 0, np.float32(1), np.float32(-1))
        return np.asarray(signs * self._rows[name][:, None], np.float32)

    def _diff(self, rows: Rows, factors: dict[str, float]) -> Diff:
        def stream(spec: TensorSpec) -> Sparse | None:
            if spec.name not in self._deltas or not rows[spec.name].any():
                return None
            delta = self._deltas[spec.name]
            positions = np.flatnonzero(np.repeat(rows[spec.name], delta.shape[1]))
            levels = np.where(delta.ravel()[positions] > 0, 1, -1).astype(np.int32)
            return Sparse(positions, levels, self._units(spec.name, factors.get(spec.name)))

        return Diff("sparse", tuple(map(stream, self._table)))

    def _units(self, name: str, factor: float | None) -> int:
        """Return the scale in grid units; 1 while rows are being chosen, as there is no factor yet."""
        if factor is None:
            return 1
        return min(LIMIT, max(1, round(math.ldexp(factor * self.parts[name].scale, self._grids[name]))))


class Signs(nn.Module):
    """One tensor's signs, float32 `[rows, weights of a row]`, and its scale's factor."""

    signs: Tensor

    def __init__(self, signs: Tensor, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.factor = nn.Parameter(torch.ones(()))
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, parent: Tensor) -> Tensor:
        """Return the parent's weights plus each sign times the scale."""
        return parent + (self.factor * self.scale * self.signs).view_as(parent)


def _as_rows(delta: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the array as `[rows, weights of a row]`; a vector or a scalar is one row."""
    return delta.reshape(len(delta), -1) if delta.ndim > 1 else delta.reshape(1, -1)


BITDELTA = Definition(
    BitDelta, Recipe(steps=100, learning_rate=1e-2), teacher="own", helpers=("diffserver.methods.quantiser",)
)
