"""The protocol of a method: parts that are trained in place of a parent's weights, and a result within a budget.

A method has a part for every tensor that it changes: a module that makes the tensor's weights of the parent's, and
holds the trained parameters. When training ends the method gives its result. Putting the parts into a network is left
to `parametrised`, the loop, data and files to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from diffclient.diff.streams import Diff

Weights = Mapping[str, npt.NDArray[np.float32]]


class MethodError(Exception):
    """A method that does not exist, or a budget or table that it cannot work with."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Bytes in a format of the method's own, and the weights that a device with the parent would make of them."""

    payload: bytes
    weights: Weights


@dataclass(frozen=True, eq=False)
class Retrained:
    """Weights that only a snapshot can carry."""

    weights: Weights


Result = Diff | Packed | Retrained
"""The result of a method: a diff, or weights that experiments compare with one."""


class Method(Protocol):
    """One way to make a new version from a parent."""

    @property
    def parent(self) -> Weights:
        """The parent's weights, those that stay among them."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """By tensor: called with the parent's tensor, a part returns the weights; gradients flow to its parameters."""

    def advance(self, progress: float) -> None:
        """Enter this point of training (0 to 1); called before every step, and not after the last."""

    def state(self) -> dict[str, Any]:
        """Return what the method has decided so far, without the parts' parameters: tensors, numbers and texts."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; `advance` is called next."""

    def result(self) -> Result:
        """Return the result of training, its payload within the budget; raises MethodError if nothing fits."""


class Steady:
    """A method whose parts are the same at every point of training."""

    def advance(self, progress: float) -> None:
        """Change nothing."""

    def state(self) -> dict[str, Any]:
        """Return nothing: nothing is decided in training."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Change nothing."""
