"""The method that retrains every weight: it makes version 0, and the full chain with which the others are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.int8_scales import find_scales
from diffserver.checkpoints.tensor_array import as_array
from diffserver.methods.definition import Definition
from diffserver.methods.method import Retrained, Steady
from diffserver.methods.quantiser import Grid
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.methods.sparse_part import SparsePart


class Full(Steady):
    """All fp32 weights as parameters, and int8 with scales in whole steps; what is neither is the network's."""

    def __init__(self, setting: Setting) -> None:
        self.parent = setting.parent
        self._network = setting.network
        buffers = {name for name, _ in self._network.named_buffers()}
        self.parts: dict[str, nn.Module] = {
            name: InPlace(array)
            for name, array in setting.parent.items()
            if name not in buffers and array.dtype == np.float32
        }
        for name, scale in find_scales(setting.table, setting.parent).items():
            self.parts[name] = whole_steps(self.parent[name], Grid.of_int8(scale))

    def result(self) -> Retrained:
        """Return the weights; a diff of all of them fits no budget."""
        buffers = {name: as_array(buffer) for name, buffer in self._network.named_buffers() if name in self.parent}
        return Retrained({**self.parent, **buffers, **{name: self._trained(name) for name in self.parts}})

    @torch.no_grad()
    def _trained(self, name: str) -> Array:
        parent, part = self.parent[name], self.parts[name].cpu()
        trained: Array = part(torch.tensor(parent)).numpy().astype(parent.dtype)
        return trained


class InPlace(nn.Module):
    """One tensor's weights, which take the place of the parent's."""

    def __init__(self, array: Array) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(array))

    def forward(self, _: Tensor) -> Tensor:
        """Return the weights."""
        return self.weights


def whole_steps(parent: Array, grid: Grid) -> SparsePart:
    """Return the part of a tensor whose every weight may change by single units of its grid."""
    part = SparsePart(parent, grid, finer=1.0, levels=int(grid.high - grid.low))
    part.take(1)
    part.phase = "quantised"
    return part


FULL = Definition(
    Full,
    Recipe(steps=1250, learning_rate=2.5e-3),
    helpers=("diffserver.methods.quantiser", "diffserver.methods.sparse_part", "diffserver.checkpoints.int8_scales"),
)
BASE = replace(FULL, recipe=Recipe(steps=2000, learning_rate=3e-3))
