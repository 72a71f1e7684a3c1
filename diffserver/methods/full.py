"""The method that retrains every weight: it makes version 0, and the full chain with which the others are compared."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array
from diffserver.methods.definition import Definition
from diffserver.methods.method import Retrained, Steady
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


class Full(Steady):
    """All weights as parameters, starting from the parent's; tensors of other dtypes than floats stay."""

    def __init__(self, setting: Setting) -> None:
        self.parent = setting.parent
        buffers = {name for name, _ in setting.network.named_buffers()}
        self.parts = {
            name: InPlace(array)
            for name, array in setting.parent.items()
            if name not in buffers and array.dtype.kind == "f"
        }

    def result(self) -> Retrained:
        """Return the weights; a diff of all of them fits no budget."""
        trained = {name: part.weights.detach().cpu().numpy() for name, part in self.parts.items()}
        return Retrained({**self.parent, **trained})


class InPlace(nn.Module):
    """One tensor's weights, which take the place of the parent's."""

    def __init__(self, array: Array) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(array))

    def forward(self, _: Tensor) -> Tensor:
        """Return the weights."""
        return self.weights


FULL = Definition(Full, Recipe(steps=910, learning_rate=2.5e-3))
BASE = replace(FULL, recipe=Recipe(steps=2000, learning_rate=3e-3))
