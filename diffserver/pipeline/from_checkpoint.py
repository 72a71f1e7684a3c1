"""Make an exact or sparse diff that leads from the parent to a checkpoint that was trained elsewhere.

A checkpoint that is delivered whole is left to `enter_checkpoint`.
"""

from collections.abc import Sequence
from time import monotonic

from diffclient.diff.streams import Diff
from diffclient.tensors.snapshot import fp32_bytes
from diffserver.checkpoints import nearest_sparse, quantise
from diffserver.checkpoints.changes import Change, describe, describe_outgrown, exact, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import SAME_LINE, Hints, fit
from diffserver.choices.delivery import DELIVERY
from diffserver.errors import CheckpointError
from diffserver.pipeline.job_context import Result, Work, result_of_update
from diffserver.pipeline.parent_version import Parent
from diffserver.tasks.tied import other_names
from diffserver.training.make_version import write_version


def update(work: Work, parent: Parent) -> Result:
    """Make the parent's next version of the checkpoint: exact, or the nearest sparse diff within the budget.

    Raises CheckpointError, Invalid, RangeError.
    """
    began, checkpoint = monotonic(), fetch(work)
    fitted = fit(checkpoint, parent.snapshot.table, _hints(work, parent, checkpoint))
    changes = list(find_changes(fitted, parent.snapshot))
    checkpoint.path.unlink()  # a search makes several versions of it, each with files of its own
    diff = exact(changes)
    if not diff.carried and not diff.grids:
        raise CheckpointError(f"the checkpoint has the very weights of version {parent.number}", "pass another one")
    if work.spec.method == "sparse":
        work.on_progress(0.2, "looks for the sparse diff that comes nearest")
        diff = nearest_sparse.sparse(changes, int(work.spec.budget * fp32_bytes(parent.snapshot.table)))
    notes = (*fitted.notes, *_notes(work, diff, changes))
    return result_of_update(work, parent, write_version(diff, parent, work.out), began, notes)


def _hints(work: Work, parent: Parent, checkpoint: Checkpoint) -> Hints:
    """Return the parent's weights, and tied names if the checkpoint has other names and there is a network."""
    same = {spec.name for spec in parent.snapshot.table} == set(checkpoint.entries)
    names = {} if same or work.spec.task == DELIVERY else other_names(work.task.network(work.seed))
    return Hints(names, parent.snapshot, SAME_LINE)


def fetch(work: Work) -> Checkpoint:
    """Return the checkpoint of a request; raises CheckpointError."""
    work.on_progress(0.0, "reads the checkpoint")
    assert work.spec.checkpoint is not None  # or there would be something to train
    return Checkpoint(work.objects.download(work.spec.checkpoint, work.folder / "checkpoint.safetensors"))


def _notes(work: Work, diff: Diff, changes: Sequence[Change]) -> tuple[str, ...]:
    roundings = [change.rounding for change in changes if change.rounding]
    unchanged = quantise.left_out(changes) if diff.kind == "sparse" else []
    missing = [f"stays as it was, for only an exact diff can change it: {name}" for name in unchanged]
    assumed = quantise.unscaled(changes) if diff.kind == "sparse" else []
    missing += [
        f"has no scale that its name tells, so that a step of int8 counted as 1/128: {name}" for name in assumed
    ]
    outgrown = describe_outgrown(changes, diff)
    return (origin(work), *describe(roundings), *outgrown, *missing)


def origin(work: Work) -> str:
    """Return the line that says which checkpoint it was."""
    return f"made of the checkpoint {work.spec.checkpoint}"
