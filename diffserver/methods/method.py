"""Methods: what is trained in place of a parent's weights, and how it becomes a diff that fits its budget.

A method gives the training loop weights to run the network with and parameters to change; when training ends it
gives a diff in grid integers. The loop itself, data and files are left to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from diffclient.diff.streams import Diff

Weights = Mapping[str, npt.NDArray[np.float32]]


class MethodError(Exception):
    """A method that does not exist, or a budget or table that it cannot work with."""


class Method(Protocol):
    """One way to make a new version from a parent."""

    def to(self, device: str) -> None:
        """Moves everything that is trained, once, before training."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What the optimiser changes."""

    def weights(self, progress: float) -> dict[str, Tensor]:
        """The network's weights at this point of training (0 to 1); gradients flow to the parameters."""

    def diff(self) -> Diff | None:
        """What was learned, its payload within the budget; None where no diff can carry it."""
