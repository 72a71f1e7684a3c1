"""From a diff to the version that devices will have: encoded, decoded and applied with their own code.

From here on only that result counts, never what training held in memory.
"""

from time import monotonic

import numpy as np

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Snapshot
from diffserver.pipeline.job_context import Result, Work
from diffserver.pipeline.parent_version import Parent


def self_apply(work: Work, parent: Parent, diff: Diff, began: float, notes: tuple[str, ...] = ()) -> Result:
    """Make the version that `diff` leads to; `began` is when work on it did. Raises RangeError, PayloadError."""
    table, weights = parent.snapshot.table, work.folder / "version.safetensors"
    payload = encode(diff, table, parent.digest)
    digest = apply(parent.snapshot, [open_payload(payload, table, parent.digest)], weights)
    changed = count_changed(parent.snapshot, Snapshot(weights))
    graph = work.objects.get(parent.graph.sha256)
    return Result(weights, digest, table, graph, diff.kind, payload, changed, monotonic() - began, notes)


def count_changed(before: Snapshot, after: Snapshot) -> int:
    """Return how many weights differ."""
    return sum(int(np.count_nonzero(before.read(spec.name) != after.read(spec.name))) for spec in before.table)
