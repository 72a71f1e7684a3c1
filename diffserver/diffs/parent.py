"""A model as the version that a diff starts from: its tensors by name, on grids, with table and digest.

The weights in the model become those of the version, to the bit; what is trained is left to `trained_diff`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array, Snapshot, Table, TensorSpec, digest, enter_grid
from diffclient.tensors.tensor_table import DTYPES
from diffserver.checkpoints.tensor_array import as_array
from diffserver.checkpoints.tensors.rounding import Rounding, describe
from diffserver.methods.parametrised import LoopError, load, tensors
from diffserver.training.state_arrays import differing_tensors, state_of


@dataclass(frozen=True, eq=False)
class Parent:
    """The version that a model holds."""

    table: Table
    weights: Mapping[str, Array]
    """The model's own memory where that is the processor's."""
    hashes: Mapping[str, bytes]
    notes: tuple[str, ...]
    """What the model's weights had to give up for their grids."""

    @property
    def digest(self) -> str:
        """The version's digest."""
        return digest(self.table, (self.hashes[spec.name] for spec in self.table))

    def changed(self, network: nn.Module, parts: Mapping[str, nn.Module]) -> Iterator[str]:
        """Yield the names of the tensors in the network that are no longer the version's."""
        there = tensors(network, parts)
        for spec in self.table:
            if spec.name not in there or hash_of(as_array(there[spec.name]), spec) != self.hashes[spec.name]:
                yield spec.name


def enter(model: nn.Module, path: Path | None = None) -> Parent:
    """Round a model's weights to grids, in place; or, if a snapshot is given, copy its weights into the model.

    Raises LoopError if the model has other tensors than the snapshot, RangeError, SnapshotError.
    """
    there = tensors(model)
    if path:
        known = Snapshot(path)
        table, entered, notes = known.table, known.read_all(), [f"weights and grids are those of {path}"]
        _require_equal(table, there)
    else:
        state = state_of(model)
        table, entered = enter_grid(state.arrays, dtypes=state.dtypes, constants=state.constants)
        on_grid = [spec.name for spec in table if spec.grid is not None]
        notes = describe([Rounding.between(name, [(state.arrays[name], entered[name])]) for name in on_grid])
    load(model, entered)
    hashes = {spec.name: hash_of(entered[spec.name], spec) for spec in table}
    return Parent(table, {name: as_array(tensor) for name, tensor in there.items()}, hashes, tuple(notes))


def hash_of(array: Array, spec: TensorSpec) -> bytes:
    """Return a tensor's SHA-256, as it goes into a version's digest."""
    return hashlib.sha256(np.ascontiguousarray(array).view(DTYPES[spec.dtype]).data).digest()


def _require_equal(table: Table, there: Mapping[str, Tensor]) -> None:
    for difference in differing_tensors(table, there):
        raise LoopError(f"the model and the snapshot differ in {difference}", "pass the snapshot of this very model")
