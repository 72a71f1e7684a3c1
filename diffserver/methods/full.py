"""The method that retrains every weight: it makes version 0, and the full chain with which the others are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from diffserver.methods.definition import Definition
from diffserver.methods.method import Retrained
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting


class Full:
    """All weights as parameters, starting from the parent's."""

    def __init__(self, setting: Setting) -> None:
        self._weights = {name: nn.Parameter(torch.tensor(array)) for name, array in setting.parent.items()}

    def to(self, device: str) -> None:
        """Moves the weights."""
        self._weights = {name: nn.Parameter(tensor.detach().to(device)) for name, tensor in self._weights.items()}

    def parameters(self) -> Iterable[nn.Parameter]:
        """Every weight."""
        return self._weights.values()

    def weights(self, progress: float) -> dict[str, Tensor]:  # noqa: ARG002 - the same at every point of training
        """The weights themselves."""
        return dict(self._weights)

    def result(self) -> Retrained:
        """The weights: a diff of all of them has no payload within any budget."""
        return Retrained({name: tensor.detach().cpu().numpy() for name, tensor in self._weights.items()})


FULL = Definition(Full, Recipe(steps=910, learning_rate=2.5e-3))
BASE = replace(FULL, recipe=Recipe(steps=2000, learning_rate=3e-3))
