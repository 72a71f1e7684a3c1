"""Compare a checkpoint with a model's version: the change of every tensor, and the exact diff to the checkpoint.

Weights on a grid are rounded to it, as those of version 0 were; all others keep their bits, except that minus zero
becomes plus zero. What becomes of a tensor that outgrew its grid is left to `outgrown`, smaller and approximate diffs
to `quantise`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Diff, Exact
from diffclient.tensors import arithmetic, float_bits, ordinals
from diffclient.tensors.snapshot import Array, Snapshot
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints import outgrown
from diffserver.checkpoints.fit import Weights
from diffserver.errors import CheckpointError


@dataclass(frozen=True)
class Rounding:
    """The rounding of one tensor's weights to its grid; `most` is the largest distance."""

    tensor: str
    most: float
    largest: float
    """The tensor's largest weight."""
    lost: int = 0
    """The number of weights other than 0 that became 0."""

    @property
    def share(self) -> float:
        """The largest distance as a share of the largest weight."""
        return self.most / (self.largest or 1.0)

    @staticmethod
    def between(tensor: str, before: Array, after: Array) -> "Rounding":
        """Return the rounding between a tensor's fp32 weights before and after."""
        moved = np.abs(after.astype(np.float64) - before)
        largest, lost = np.max(np.abs(before), initial=0.0), np.count_nonzero((before != 0) & (after == 0))
        return Rounding(tensor, float(np.max(moved, initial=0.0)), float(largest), int(lost))


@dataclass(frozen=True, eq=False)
class Change:
    """One tensor before and after, flat: grid units (int32) on a grid, else the weights."""

    spec: TensorSpec
    old: Array
    new: Array
    rounding: Rounding | None = None
    """None for a tensor off the grid, and for one that outgrew its own."""
    outgrown: Array | None = None
    """The new weights as they are, if some lie beyond the end of the grid; in `new` these are cut."""

    @property
    def old_weights(self) -> Array:
        """The old weights in the tensor's shape."""
        flat = self.old if self.spec.grid is None else arithmetic.from_grid(self.old, self.spec.grid)
        return np.asarray(flat.reshape(self.spec.shape))


def find_changes(checkpoint: Weights, parent: Snapshot) -> Iterator[Change]:
    """Yield every tensor's change in the table's order.

    Raises CheckpointError where a tensor that was finite is so no longer: a constant may hold infinities, weights not.
    """
    for spec in parent.table:
        old, new = parent.read(spec.name).reshape(-1), checkpoint.read(spec.name).reshape(-1)
        if float_bits.finite(old, spec.dtype) and not float_bits.finite(new, spec.dtype):
            raise CheckpointError(f"{spec.name} holds a number that is not finite", "repair or retrain the checkpoint")
        if spec.grid is None:
            yield Change(spec, old, _plain(new, spec))
        else:
            yield _on_grid(spec, spec.grid, old, new)


def exact(tensor_changes: Sequence[Change]) -> Diff:
    """Return the exact diff to the checkpoint's weights; tensors that outgrew their grids leave them."""
    moves = [_exact(change) for change in tensor_changes]
    numbered = enumerate(zip(tensor_changes, moves, strict=True))
    grids = {number: grid for number, (change, (_, grid)) in numbered if grid != change.spec.grid}
    nonfinite = any(_makes_nonfinite(change, stream) for change, (stream, _) in zip(tensor_changes, moves, strict=True))
    return Diff("exact", tuple(stream for stream, _ in moves), grids=grids, nonfinite=nonfinite)


def describe(roundings: Sequence[Rounding]) -> list[str]:
    """Return a line on the largest rounding; no line if no tensor is on a grid."""
    if not roundings:
        return []
    worst = max(roundings, key=lambda rounding: rounding.share)
    if not worst.most:
        return ["no weight had to be rounded to its grid"]
    lost, loser = sum(rounding.lost for rounding in roundings), max(roundings, key=lambda rounding: rounding.lost)
    smallest = f"; {lost} other than 0 became 0, {loser.lost} of them in {loser.tensor}" if lost else ""
    return [
        f"weights were rounded to their grids: the most in {worst.tensor}, by {worst.most:.2g}, "
        f"{worst.share:.1e} of its largest weight{smallest}"
    ]


def describe_outgrown(tensor_changes: Sequence[Change], diff: Diff) -> list[str]:
    """Return a line for every tensor that outgrew its grid, with what the diff does to it."""
    return [
        f"{change.spec.name} holds a weight of {np.max(np.abs(change.outgrown)):g}, and its grid ends at "
        f"{2.0 ** (24 - (change.spec.grid or 0)):g}: {_fate(diff, number)}"
        for number, change in enumerate(tensor_changes)
        if change.outgrown is not None
    ]


def _fate(diff: Diff, number: int) -> str:
    if diff.kind != "exact":
        return "it is cut there, for only an exact diff can give it another"
    grid = diff.grids[number]
    return "only exact diffs change it from now on" if grid is None else f"its new one ends at {2.0 ** (24 - grid):g}"


def _plain(weights: Array, spec: TensorSpec) -> Array:
    if spec.dtype not in float_bits.EXPONENTS:
        return weights
    return float_bits.plus_zero(float_bits.bits_of(weights)).view(weights.dtype)


def _on_grid(spec: TensorSpec, grid: int, old: Array, new: Array) -> Change:
    end = np.float32(2.0 ** (24 - grid))
    cut = np.clip(new, -end, end)
    units = arithmetic.round_to_grid(cut, grid)
    before = arithmetic.to_grid(old, grid)
    if not np.array_equal(cut, new):
        return Change(spec, before, units, outgrown=_plain(new, spec))
    return Change(spec, before, units, Rounding.between(spec.name, new, arithmetic.from_grid(units, grid)))


def _exact(change: Change) -> tuple[Exact | None, int | None]:
    """Return a tensor's stream, and the exponent of its grid from there on."""
    spec = change.spec
    if spec.grid is not None and change.outgrown is not None:
        return outgrown.move(spec, arithmetic.from_grid(change.old, spec.grid), change.outgrown)
    if spec.grid is None:
        deltas = ordinals.subtract(change.new, change.old, spec.dtype)
    else:
        deltas = change.new.astype(np.int64) - change.old
    positions = np.flatnonzero(deltas)
    return Exact(positions, deltas[positions]) if positions.size else None, spec.grid


def _makes_nonfinite(change: Change, stream: Exact | None) -> bool:
    if stream is None or change.spec.grid is not None:
        return False
    return not float_bits.finite(change.new[stream.positions], change.spec.dtype)
