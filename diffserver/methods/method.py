"""Methods: what is trained in place of a parent's weights, and how it becomes a version within its budget.

A method has a part for every tensor that it changes: a module that makes the tensor's weights of the parent's, and
holds what is trained. When training ends the method gives its result. Putting the parts into a network is left to
`parametrised`, the loop, data and files to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

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

    @property
    def parent(self) -> Weights:
        """The parent's weights, those that stay among them."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """By tensor: called with the parent's tensor, a part returns the weights; gradients flow to its parameters."""

    def advance(self, progress: float) -> None:
        """Decide what holds from this point of training on (0 to 1); called once before every step, and never after."""

    def result(self) -> Result:
        """Return what was learned, its payload within the budget; raises MethodError if nothing fits that."""


class Steady:
    """A method whose parts are the same at every point of training."""

    def advance(self, progress: float) -> None:
        """Change nothing."""
