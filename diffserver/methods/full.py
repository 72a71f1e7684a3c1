"""The method that retrains every weight: it carries the full chain, with which the others are compared."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from diffclient.diff.streams import Diff
from diffserver.methods.method import Weights


class Full:
    """All weights as parameters, starting from the parent's."""

    def __init__(self, parent: Weights) -> None:
        self._weights = {name: nn.Parameter(torch.tensor(array)) for name, array in parent.items()}

    def to(self, device: str) -> None:
        """Moves the weights."""
        self._weights = {name: nn.Parameter(tensor.detach().to(device)) for name, tensor in self._weights.items()}

    def parameters(self) -> Iterable[nn.Parameter]:
        """Every weight."""
        return self._weights.values()

    def weights(self, progress: float) -> dict[str, Tensor]:  # noqa: ARG002 - the same at every point of training
        """The weights themselves."""
        return dict(self._weights)

    def diff(self) -> Diff | None:
        """None: a diff of all weights has no payload within any budget."""
        return None
