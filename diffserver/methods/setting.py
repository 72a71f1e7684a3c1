"""The setting of a method: a parent, a budget, and what some methods need besides.

Some methods compress the fully retrained model, and need its weights; some wrap layers, and need the network.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from diffclient.tensors.snapshot import Table, TensorSpec, fp32_bytes
from diffserver.checkpoints.int8_scales import Scales, find_scales
from diffserver.methods.method import MethodError, Weights
from diffserver.methods.quantiser import Grid


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
    """Names of fp32 tensors that stay as they are, as the network's buffers do."""
    scales: Scales | None = None
    """The int8 tensors that are trained, with their scales; None: those whose scales names tell."""

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
        on_grid = {spec.name for spec in self.table if spec.grid is not None and spec.name not in self.frozen} - buffers
        specs = [spec for spec in self.table if spec.size and spec.name in on_grid | self._scales.keys()]
        if not specs:
            raise MethodError(
                "no tensor can be trained: a diff changes fp32 tensors that are not frozen, and int8 ones with a scale"
            )
        return specs

    def grid(self, spec: TensorSpec) -> Grid:
        """Return the grid of a tensor that is trained."""
        return Grid.of_int8(self._scales[spec.name]) if spec.grid is None else Grid.of_exponent(spec.grid)

    @cached_property
    def _scales(self) -> Scales:
        return find_scales(self.table, self.parent) if self.scales is None else self.scales

    def retrained(self) -> Weights:
        """Return `full`; raises MethodError if there is none."""
        if self.full is None:
            raise MethodError("this method compresses a fully retrained model: train that first")
        return self.full
