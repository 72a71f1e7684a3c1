"""From a checkpoint that was trained elsewhere to a version: a base, or an exact or sparse diff against the parent."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from time import monotonic

from diffclient.diff.streams import Diff
from diffclient.tensors.snapshot import Table, enter_grid, fp32_bytes, write_snapshot
from diffserver.checkpoints import nearest_sparse, quantise
from diffserver.checkpoints.changes import Change, Rounding, describe, exact, find_changes, require_fit
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError, Invalid
from diffserver.pipeline.job_context import Result, Work, result_of_update
from diffserver.pipeline.parent_version import Parent
from diffserver.training.made_version import MadeVersion
from diffserver.training.make_version import settle


def enter(work: Work) -> Result:
    """Make version 0 of the checkpoint's weights and the task's graph; raises CheckpointError, Invalid, RangeError."""
    began, checkpoint = monotonic(), _fetch(work)
    network = work.task.network(work.seed)
    expected, _ = enter_grid({name: tensor.detach().numpy() for name, tensor in network.state_dict().items()})
    require_fit(checkpoint, expected)
    before = {spec.name: checkpoint.read(spec.name) for spec in expected}
    table, after = enter_grid(before, off_grid=_named(work.spec.off_grid, expected))
    digest = write_snapshot(work.out, table, (after[spec.name] for spec in table))
    rounded = [spec.name for spec in table if spec.grid is not None]
    roundings = [Rounding.between(name, before[name], after[name]) for name in rounded]
    notes = (_origin(work), *describe(roundings))
    graph = work.task.graph(network)
    return Result(MadeVersion(work.out, digest, table, "snapshot"), graph, 0, monotonic() - began, notes)


def update(work: Work, parent: Parent) -> Result:
    """Make the parent's next version of the checkpoint: to the bit, or as near as the budget allows.

    Raises CheckpointError, Invalid, RangeError.
    """
    began, checkpoint = monotonic(), _fetch(work)
    require_fit(checkpoint, parent.snapshot.table)
    changes = list(find_changes(checkpoint, parent.snapshot))
    diff = exact(changes)
    if not diff.carried:
        raise CheckpointError(f"the checkpoint has the very weights of version {parent.number}", "pass another one")
    if work.spec.method == "sparse":
        work.on_progress(0.2, "looks for the sparse diff that comes nearest")
        diff = nearest_sparse.sparse(changes, int(work.spec.budget * fp32_bytes(parent.snapshot.table)))
    return result_of_update(work, parent, settle(diff, parent, work.out), began, _notes(work, diff, changes))


def _fetch(work: Work) -> Checkpoint:
    work.on_progress(0.0, "reads the checkpoint")
    assert work.spec.checkpoint is not None  # or there would be something to train
    return Checkpoint(work.objects.download(work.spec.checkpoint, work.folder / "checkpoint.safetensors"))


def _notes(work: Work, diff: Diff, changes: Sequence[Change]) -> tuple[str, ...]:
    roundings = [change.rounding for change in changes if change.rounding]
    left_out = quantise.left_out(changes) if diff.kind == "sparse" else []
    missing = [f"stays as it was, for only an exact diff can change it: {name}" for name in left_out]
    return (_origin(work), *describe(roundings), *missing)


def _origin(work: Work) -> str:
    return f"made of the checkpoint {work.spec.checkpoint}"


def _named(patterns: Sequence[str], table: Table) -> set[str]:
    """Return the tensors that one of the patterns (`*` and `?` as in a shell) fits; raises Invalid if one fits none."""
    names = [spec.name for spec in table]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise Invalid(f"no tensor is called {pattern}", f"the model has {', '.join(names[:20])}")
    return {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
