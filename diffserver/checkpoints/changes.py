"""Compare a checkpoint with a model's version: the change of every tensor, and the exact diff to the checkpoint.

Weights on a grid are rounded to it, as those of version 0 were; all others keep their bits, except that minus zero
becomes plus zero. What becomes of a tensor that outgrew its grid is left to `outgrown`, smaller and approximate diffs
to `quantise`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from diffclient.diff.streams import Diff, chunks
from diffclient.tensors import arithmetic, float_bits
from diffclient.tensors.snapshot import Array, Snapshot
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.tensors import deltas, outgrown
from diffserver.checkpoints.tensors.deltas import Stream
from diffserver.checkpoints.tensors.flat import Derived, Flat, Weights, finite, from_units, largest, pieces, tensor_of
from diffserver.checkpoints.tensors.rounding import Rounding
from diffserver.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class Change:
    """One tensor before and after, flat: grid units (int32) on a grid, else the weights."""

    spec: TensorSpec
    old: Flat
    new: Flat
    rounding: Rounding | None = None
    """None for a tensor off the grid, and for one that outgrew its own."""
    outgrown: Flat | None = None
    """The new weights as they are, if some lie beyond the end of the grid; in `new` these are cut."""

    @property
    def old_weights(self) -> Array:
        """The old weights in the tensor's shape."""
        weights = self.old if self.spec.grid is None else from_units(self.old, self.spec.grid)
        return weights[0 : self.spec.size].reshape(self.spec.shape)

    def pieces(self) -> Iterator[tuple[Array, ...]]:
        """Yield the tensor before and after, chunk by chunk."""
        return pieces(self.spec.size, self.old, self.new)


def find_changes(checkpoint: Weights, parent: Snapshot) -> Iterator[Change]:
    """Yield every tensor's change in the table's order.

    Raises CheckpointError where a tensor that was finite is so no longer: a constant may hold infinities, weights not.
    """
    for spec in parent.table:
        old, new = (tensor_of(weights, spec.name) for weights in (parent, checkpoint))
        if finite(spec, old) and not finite(spec, new):
            raise CheckpointError(f"{spec.name} holds a number that is not finite", "repair or retrain the checkpoint")
        if spec.grid is None:
            yield Change(spec, old, new.converted(partial(_plain, spec=spec)))
        else:
            yield _on_grid(spec, spec.grid, old, new)


def exact(tensor_changes: Sequence[Change]) -> Diff:
    """Return the exact diff to the checkpoint's weights; tensors that outgrew their grids leave them."""
    moves = [_exact(change) for change in tensor_changes]
    numbered = enumerate(zip(tensor_changes, moves, strict=True))
    grids = {number: grid for number, (change, (_, grid)) in numbered if grid != change.spec.grid}
    nonfinite = any(_makes_nonfinite(change, stream) for change, (stream, _) in zip(tensor_changes, moves, strict=True))
    return Diff("exact", tuple(stream for stream, _ in moves), grids=grids, nonfinite=nonfinite)


def describe_outgrown(tensor_changes: Sequence[Change], diff: Diff) -> list[str]:
    """Return a line for every tensor that outgrew its grid, with what the diff does to it."""
    return [
        f"{change.spec.name} holds a weight of {largest(change.spec.size, change.outgrown):g}, and its grid ends at "
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


def _on_grid(spec: TensorSpec, grid: int, old: Derived, new: Derived) -> Change:
    end = np.float32(2.0 ** (24 - grid))
    cut = new.converted(lambda weights: np.clip(weights, -end, end))
    units = cut.converted(partial(arithmetic.round_to_grid, exponent=grid))
    change = Change(spec, old.converted(partial(arithmetic.to_grid, exponent=grid)), units)
    if not all(np.array_equal(within, whole) for within, whole in pieces(spec.size, cut, new)):
        return replace(change, outgrown=new.converted(partial(_plain, spec=spec)))
    return replace(change, rounding=Rounding.between(spec.name, pieces(spec.size, new, from_units(units, grid))))


def _exact(change: Change) -> tuple[Stream | None, int | None]:
    """Return a tensor's stream, and the exponent of its grid from there on."""
    spec = change.spec
    if spec.grid is not None and change.outgrown is not None:
        return outgrown.move(spec, from_units(change.old, spec.grid), change.outgrown)
    if spec.grid is None:
        stream = deltas.of_ordinals(spec, change.old, change.new)
    else:
        stream = deltas.of_units(spec, change.old, change.new)
    return stream if deltas.change_anything(stream, spec) else None, spec.grid


def _makes_nonfinite(change: Change, stream: Stream | None) -> bool:
    spec = change.spec
    if stream is None or spec.grid is not None or spec.dtype not in float_bits.EXPONENTS:
        return False
    changed = (change.new[start:stop][stream.part(start, stop)[0]] for start, stop in chunks(spec.size))
    return not all(float_bits.finite(weights, spec.dtype) for weights in changed)
