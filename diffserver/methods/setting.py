"""The setting of a method: a parent, a budget, and what some methods need besides.

Some methods compress the fully retrained model, and need its weights; some wrap layers, and need the network.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from torch import nn

from diffclient.tensors.snapshot import Table, TensorSpec, fp32_bytes
from diffserver.methods.method import MethodError, Weights


@dataclass(frozen=True, eq=False)
class Setting:
    """The input of a method; raises MethodError unless the budget is above 0 and at most 1."""

    parent: Weights
    table: Table
    budget: float
    """The most payload bytes, as a share of the fp32 bytes."""
    seed: int
    network: nn.Module
    """Gives the layers; its weights are not used."""
    full: Weights | None = None
    """The fully retrained model that the method compresses, on the table's grids."""
    frozen: Container[str] = ()
    """Names of tensors that stay as they are, as the network's buffers and tensors off the grid do."""

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise MethodError(
                f"a budget of {self.budget} is not a share of the model's bytes: give one above 0 and at most 1"
            )

    @property
    def limit(self) -> int:
        """The most payload bytes."""
        return int(self.budget * fp32_bytes(self.table))

    @property
    def trained(self) -> Sequence[TensorSpec]:
        """The tensors whose weights are trained; raises MethodError if there are none."""
        buffers = {name for name, _ in self.network.named_buffers()}
        specs = [spec for spec in self.table if spec.grid is not None and spec.size and spec.name not in buffers]
        specs = [spec for spec in specs if spec.name not in self.frozen]
        if not specs:
            raise MethodError("no tensor can be trained: a diff changes fp32 tensors that are not frozen")
        return specs

    def retrained(self) -> Weights:
        """Return `full`; raises MethodError if there is none."""
        if self.full is None:
            raise MethodError("this method compresses a fully retrained model: train that first")
        return self.full
