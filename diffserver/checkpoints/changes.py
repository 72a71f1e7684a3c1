"""Compare a checkpoint with a model's version: the change of every tensor, and the exact diff to the checkpoint.

Weights on a grid are rounded to it, as those of version 0 were; all others keep their bits, except that minus zero
becomes plus zero. Smaller, approximate diffs are left to `quantise`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Diff, Exact
from diffclient.errors import RangeError
from diffclient.tensors import arithmetic, float_bits, ordinals
from diffclient.tensors.snapshot import Array, Snapshot
from diffclient.tensors.tensor_table import Table, TensorSpec
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError

NAMED = 5
"""The most tensors that a message names."""


@dataclass(frozen=True)
class Rounding:
    """The rounding of one tensor's weights to its grid; `most` is the largest distance."""

    tensor: str
    most: float
    largest: float
    """The tensor's largest weight."""

    @property
    def share(self) -> float:
        """The largest distance as a share of the largest weight."""
        return self.most / (self.largest or 1.0)

    @staticmethod
    def between(tensor: str, before: Array, after: Array) -> "Rounding":
        """Return the rounding between a tensor's fp32 weights before and after."""
        moved = np.abs(after.astype(np.float64) - before)
        return Rounding(tensor, float(np.max(moved, initial=0.0)), float(np.max(np.abs(before), initial=0.0)))


@dataclass(frozen=True, eq=False)
class Change:
    """One tensor before and after, flat: grid units (int32) on a grid, else the weights."""

    spec: TensorSpec
    old: Array
    new: Array
    rounding: Rounding | None = None
    """None for a tensor off the grid."""


def require_fit(checkpoint: Checkpoint, table: Table) -> None:
    """Raise CheckpointError unless the checkpoint has exactly the table's tensors, in their shapes and dtypes."""
    known = {spec.name: spec for spec in table}
    problems = [
        *_named("lacks", [name for name in known if name not in checkpoint.entries]),
        *_named("has tensors that the model has not:", [name for name in checkpoint.entries if name not in known]),
        *_named("differs in", [_difference(checkpoint, spec) for spec in table]),
    ]
    if problems:
        raise CheckpointError(
            f"the checkpoint {'; it '.join(problems)}", "save the state dict of the very model that was published"
        )


def find_changes(checkpoint: Checkpoint, parent: Snapshot) -> Iterator[Change]:
    """Yield every tensor's change in the table's order; raises CheckpointError on a weight outside its grid."""
    for spec in parent.table:
        old, new = parent.read(spec.name).reshape(-1), checkpoint.read(spec.name).reshape(-1)
        if spec.grid is None:
            yield Change(spec, old, _plain(new, spec))
        else:
            yield _on_grid(spec, spec.grid, old, new)


def exact(tensor_changes: Sequence[Change]) -> Diff:
    """Return the exact diff to the checkpoint's weights."""
    return Diff("exact", tuple(map(_exact, tensor_changes)))


def describe(roundings: Sequence[Rounding]) -> list[str]:
    """Return a line on the largest rounding; no line if no tensor is on a grid."""
    if not roundings:
        return []
    worst = max(roundings, key=lambda rounding: rounding.share)
    if not worst.most:
        return ["no weight had to be rounded to its grid"]
    return [
        f"weights were rounded to their grids: the most in {worst.tensor}, by {worst.most:.2g}, "
        f"{worst.share:.1e} of its largest weight"
    ]


def _difference(checkpoint: Checkpoint, spec: TensorSpec) -> str:
    entry = checkpoint.entries.get(spec.name)
    if entry is None or (entry.shape, entry.dtype) == (spec.shape, spec.dtype):
        return ""
    return f"{spec.name} ({entry.dtype} {list(entry.shape)}, the model's is {spec.dtype} {list(spec.shape)})"


def _named(what: str, candidates: Sequence[str]) -> Iterator[str]:
    """Yield one phrase that names the first of the items, if there are any."""
    names = [item for item in candidates if item]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"{what} {', '.join(names[:NAMED])}{more}"


def _plain(weights: Array, spec: TensorSpec) -> Array:
    if spec.dtype not in float_bits.EXPONENTS:
        return weights
    return float_bits.plus_zero(float_bits.bits_of(weights)).view(weights.dtype)


def _on_grid(spec: TensorSpec, grid: int, old: Array, new: Array) -> Change:
    try:
        units = arithmetic.round_to_grid(new, grid)
    except RangeError as error:
        raise CheckpointError(
            f"{spec.name} holds a weight of {np.max(np.abs(new)):g}, and its grid ends at {2.0 ** (24 - grid):g}",
            "new grids need a new model: diffserver base <name> --from-checkpoint <file>",
        ) from error
    rounding = Rounding.between(spec.name, new, arithmetic.from_grid(units, grid))
    return Change(spec, arithmetic.to_grid(old, grid), units, rounding)


def _exact(change: Change) -> Exact | None:
    if change.spec.grid is None:
        deltas = ordinals.subtract(change.new, change.old, change.spec.dtype)
    else:
        deltas = change.new.astype(np.int64) - change.old
    positions = np.flatnonzero(deltas)
    return Exact(positions, deltas[positions]) if positions.size else None
