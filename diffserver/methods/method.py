"""Methods: what is trained in place of a parent's weights, and how it becomes a version within its budget.

A method gives the training loop weights to run the network with and parameters to change; when training ends it gives
its result. The loop itself, data and files are left to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from diffclient.diff.streams import Diff

Weights = Mapping[str, npt.NDArray[np.float32]]


class MethodError(Exception):
    """A method that does not exist, or a budget or table that it cannot work with."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Bytes of the method's own, and the weights that a device with the parent would make of them."""

    payload: bytes
    weights: Weights


@dataclass(frozen=True, eq=False)
class Retrained:
    """Weights that nothing carries but a snapshot."""

    weights: Weights


Result = Diff | Packed | Retrained
"""What a method ends with: a diff of the product's, or what is only compared with one."""


class Method(Protocol):
    """One way to make a new version from a parent."""

    def to(self, device: str) -> None:
        """Moves everything that is trained, once, before training."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What the optimiser changes."""

    def weights(self, progress: float) -> dict[str, Tensor]:
        """The network's weights at this point of training (0 to 1); gradients flow to the parameters."""

    def result(self) -> Result:
        """What was learned, its payload within the budget; raises MethodError if nothing fits that."""
