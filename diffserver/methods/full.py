"""The method that retrains every weight: it makes version 0, and the full chain with which the others are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.tensor_array import as_array
from diffserver.methods.definition import Definition
from diffserver.methods.method import Retrained, Steady
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


class Full(Steady):
    """All fp32 weights as parameters, starting from the parent's; what is no parameter is the network's."""

    def __init__(self, setting: Setting) -> None:
        self.parent = setting.parent
        self._network = setting.network
        buffers = {name for name, _ in self._network.named_buffers()}
        self.parts = {
            name: InPlace(array)
            for name, array in setting.parent.items()
            if name not in buffers and array.dtype == np.float32
        }

    def result(self) -> Retrained:
        """Return the weights; a diff of all of them fits no budget."""
        trained = {name: part.weights.detach().cpu().numpy() for name, part in self.parts.items()}
        buffers = {name: as_array(buffer) for name, buffer in self._network.named_buffers() if name in self.parent}
        return Retrained({**self.parent, **buffers, **trained})


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
