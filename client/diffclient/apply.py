"""Applying a chain of diffs to a snapshot: one pass, tensor by tensor, no intermediate version.

What is written is synced and digested; comparing the digest with the promised one is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from diffclient import arithmetic
from diffclient import diff as diffs
from diffclient.diff import Diff
from diffclient.weights import Array, Snapshot, write_snapshot


def combined(parent: Snapshot, chain: Sequence[Diff]) -> Iterator[Array]:
    """Yield the weights after the whole chain, in the table's order; raises RangeError."""
    for index, spec in enumerate(parent.table):
        weights = parent.read(spec.name)
        if spec.grid is None or all(diff.streams[index] is None for diff in chain):
            yield weights
            continue
        units = arithmetic.to_grid(weights, spec.grid).reshape(-1)
        for diff in chain:
            values = diffs.values(diff, index, spec.size)
            if values is not None:
                units = arithmetic.combine(units, values, diff.alpha, diff.beta)
        yield arithmetic.from_grid(units, spec.grid).reshape(spec.shape)


def apply(parent: Snapshot, chain: Sequence[Diff], out: Path) -> str:
    """Write what the chain makes of `parent` as the new snapshot `out`; return its digest.

    Raises RangeError if a weight leaves its grid, OSError as the file system does.
    """
    return write_snapshot(out, parent.table, combined(parent, chain))
