"""What a baseline starts from, and what of its results does not travel as a diff.

Baselines are methods that the product is compared with, at equal bytes. Some compress what full retraining found, so
they need its weights; some wrap layers, so they need the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from diffclient.tensors.snapshot import Table, fp32_bytes
from diffserver.methods.method import Method, MethodError, Weights


@dataclass(frozen=True, eq=False)
class Setting:
    """One update to be made."""

    parent: Weights
    table: Table
    budget: float
    """The most payload bytes, as a share of the fp32 bytes."""
    seed: int
    network: nn.Module
    """Gives the layers; its weights are not used."""
    full: Weights | None = None
    """The fully retrained model that the method compresses, on the table's grids."""

    @property
    def limit(self) -> int:
        """The most payload bytes."""
        return int(self.budget * fp32_bytes(self.table))

    def retrained(self) -> Weights:
        """Return `full`; raises MethodError if there is none."""
        if self.full is None:
            raise MethodError("this method compresses a fully retrained model: train that first")
        return self.full


class Packed(Method, Protocol):
    """A method whose result is no diff of the product's: it packs bytes of its own, and rebuilds weights from them."""

    def payload(self) -> bytes:
        """Return what would travel, within the budget; raises MethodError if nothing fits."""

    def rebuilt(self, payload: bytes) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights that a device with the parent would make of the payload."""
