"""Cases of the payload benchmark: a diff, the weights that it changes, and the limit of their size.

Measuring is left to `measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, Stream, numbers, spread
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.snapshot import Array, Table, TensorSpec


@dataclass(frozen=True, eq=False)
class Case:
    """One diff, and the input of its peers."""

    name: str
    table: Table
    diff: Diff
    limit_bytes: float | None
    """None where no limit is known."""
    weights: tuple[Array, ...] | None
    """The parent's weights, in the table's order; None if the case has only positions and values."""
    note: str = ""
    """The origin of weights, positions and values."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Peers that do not run on this case, with the reason."""

    @property
    def size(self) -> int:
        """The number of the model's weights."""
        return sum(spec.size for spec in self.table)

    @cached_property
    def changes(self) -> int:
        """The number of weights that change (in hashed, by a value other than 0)."""
        return sum(_changes(self.diff, index, spec) for index, spec in enumerate(self.table))

    @cached_property
    def levels(self) -> int | None:
        """The number of distinct values, 0 included; None in exact, where almost all are distinct."""
        values = [numbers(stream) for stream in self.diff.streams if stream is not None]
        return len(np.union1d(np.concatenate(values), [0])) if values and self.diff.kind != "exact" else None

    def new_weights(self) -> tuple[Array, ...]:
        """Return the weights after the diff, without the code under test; the case must have weights."""
        assert self.weights is not None
        triples = zip(self.table, self.weights, self.diff.streams, strict=True)
        return tuple(
            old if stream is None else changed(spec, old, stream, self.diff.seed, index)
            for index, (spec, old, stream) in enumerate(triples)
        )


def changed(spec: TensorSpec, old: Array, stream: Stream, seed: int, index: int) -> Array:
    """Return tensor number `index` with a stream added to it (alpha = beta = 1)."""
    flat = old.reshape(-1)
    if isinstance(stream, Exact):
        new = flat.copy()
        new[stream.positions] = ordinals.add(flat[stream.positions], stream.deltas, spec.dtype)
        return new.reshape(old.shape)
    assert spec.grid is not None
    units = arithmetic.to_grid(flat, spec.grid).astype(np.int64)
    if isinstance(stream, Sparse):
        units[stream.positions] += stream.levels.astype(np.int64) * stream.step
    elif isinstance(stream, Hashed):
        units += np.concatenate([piece.values for piece in spread(stream, seed, index, spec)])
    return arithmetic.from_grid(units.astype(np.int32), spec.grid).reshape(old.shape)


def write_raw(path: Path, weights: tuple[Array, ...]) -> None:
    """Write all tensors as raw little-endian numbers, one after the other."""
    with path.open("wb") as file:
        for array in weights:
            np.ascontiguousarray(array).tofile(file)


def _changes(diff: Diff, index: int, spec: TensorSpec) -> int:
    stream = diff.streams[index]
    if isinstance(stream, Hashed):
        return sum(int(np.count_nonzero(piece.values)) for piece in spread(stream, diff.seed, index, spec))
    return 0 if stream is None else len(numbers(stream))
