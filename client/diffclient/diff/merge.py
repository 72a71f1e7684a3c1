"""Merge consecutive sparse diffs on the grid into one diff that makes the same bits of the same parent.

With alpha = beta = 1 a diff is a plain sum of integers, so neither order nor grouping matters. Other diffs (of
other kinds or factors, or of floats off the grid) are refused. Whether a merged diff is worth its bytes is left to the
server.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffclient.diff.streams import Diff, Positions, Sparse, Stream, Values
from diffclient.errors import MergeError
from diffclient.tensors.arithmetic import LIMIT, ONE, VALUE_LIMIT
from diffclient.tensors.snapshot import Table, TensorSpec


def merge(diffs: Sequence[Diff], table: Table) -> Diff:
    """Return one sparse diff with the same effect as `diffs`, the earliest first, on a version with that table.

    Steps are the greatest common divisors of the values; positions whose values add up to zero are dropped. Merging
    merged diffs gives the same as merging all diffs at once. No diffs give the diff that changes nothing.

    Raises MergeError if a diff is no plain sum of integers, does not fit the table, or adds up to more than a grid is
    wide.
    """
    for diff in diffs:
        _require_sum(diff, table)
    return Diff("sparse", tuple(_merged(spec, [diff.streams[i] for diff in diffs]) for i, spec in enumerate(table)))


def _require_sum(diff: Diff, table: Table) -> None:
    if diff.kind != "sparse":
        raise MergeError(f"a {diff.kind} diff cannot be merged, only sparse ones: apply the chain")
    if (diff.alpha, diff.beta) != (ONE, ONE):
        raise MergeError("a diff that scales weights or values cannot be merged: apply the chain")
    if len(diff.streams) != len(table):
        raise MergeError(f"a diff of {len(diff.streams)} tensors does not fit a table of {len(table)}")


def _merged(spec: TensorSpec, streams: Sequence[Stream | None]) -> Sparse | None:
    """Add up one tensor's streams; None where they cancel out."""
    present = [_checked(spec, stream) for stream in streams if stream is not None]
    if not present:
        return None
    positions = np.concatenate([stream.positions for stream in present])
    values = np.concatenate([stream.levels.astype(np.int64) * stream.step for stream in present])
    # The streams are sorted runs, which a stable sort merges in almost linear time.
    order = np.argsort(positions, kind="stable")
    positions = positions[order]
    starts = np.flatnonzero(np.diff(positions, prepend=-1))
    sums = np.add.reduceat(values[order], starts) if starts.size else values
    nonzero = np.flatnonzero(sums)
    return _stream(spec, positions[starts[nonzero]], sums[nonzero]) if nonzero.size else None


def _stream(spec: TensorSpec, positions: Positions, values: Values) -> Sparse:
    if np.abs(values).max() > VALUE_LIMIT:
        raise MergeError(f"{spec.name}: values add up to more than a grid is wide: apply the chain")
    divisor = int(np.gcd.reduce(values))
    step = divisor if divisor <= LIMIT else 1  # beyond it there is but one magnitude, and any step will do
    return Sparse(positions, (values // step).astype(np.int32), step)


def _checked(spec: TensorSpec, stream: Stream) -> Sparse:
    if spec.grid is None and spec.dtype != "I8":
        raise MergeError(f"{spec.name} is {spec.dtype} off the grid, where diffs do not add up: apply the chain")
    if not isinstance(stream, Sparse) or stream.exponent is not None or not 1 <= stream.step <= LIMIT:
        raise MergeError(f"{spec.name}: not a sparse stream on its grid")
    positions = stream.positions
    if len(positions) != len(stream.levels) or np.any(np.diff(positions, prepend=-1, append=spec.size) < 1):
        raise MergeError(f"{spec.name}: positions that do not increase within the tensor, a level for each")
    return stream
