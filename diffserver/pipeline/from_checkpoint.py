"""Make a version of a checkpoint that was trained elsewhere: a base, or an exact or sparse diff against the parent."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic

from diffclient.diff.streams import Diff
from diffclient.measure.onnx_session import Session
from diffclient.release.manifest import NO_GRAPH
from diffclient.tensors.snapshot import Array, Snapshot, Table, enter_grid, fp32_bytes, write_pieces
from diffserver.checkpoints import nearest_sparse, quantise
from diffserver.checkpoints.changes import Change, describe_outgrown, exact, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import Hints, fit
from diffserver.checkpoints.tensors import entry
from diffserver.checkpoints.tensors.rounding import describe
from diffserver.choices.delivery import DELIVERY
from diffserver.errors import CheckpointError, Invalid
from diffserver.pipeline.job_context import Result, Work, result_of_update
from diffserver.pipeline.parent_version import Parent
from diffserver.tasks.tied import other_names
from diffserver.training.make_version import write_version
from diffserver.training.new_version import NewVersion
from diffserver.training.state_arrays import state_of

STATISTICS = ("*running_mean", "*running_var")
"""The names of running statistics, which stay off the grid, so that they arrive to the bit."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The tensors and the graph of a base that is made of a checkpoint."""

    table: Table
    """Names, shapes and dtypes; grids are chosen by the checkpoint's weights."""
    constants: Container[str]
    """The names of tensors that may hold infinities."""
    graph: bytes
    hints: Hints


def enter(work: Work) -> Result:
    """Make version 0 of the checkpoint's weights; raises CheckpointError, Invalid, RangeError, InferenceError."""
    began, checkpoint = monotonic(), _fetch(work)
    frame = _frame_of_delivery(work, checkpoint) if work.spec.task == DELIVERY else _frame_of_task(work)
    fitted = fit(checkpoint, frame.table, frame.hints)
    requested = _matching(work.spec.off_grid, frame.table)
    off_grid = requested | _fitting(STATISTICS, frame.table)
    entries = [entry.enter(fitted, spec, off_grid, frame.constants) for spec in frame.table]
    table, roundings = tuple(entered.spec for entered in entries), [entered.rounding for entered in entries]
    digest = write_pieces(work.out, table, (entered.pieces() for entered in entries))
    if frame.graph and work.spec.task == DELIVERY:
        Session(frame.graph, Snapshot(work.out))  # a graph that these weights do not fit is of no use to a device
    rounded = describe([rounding for rounding in roundings if rounding])
    notes = (_origin(work), *fitted.notes, *rounded, *_kept_off(table, off_grid))
    return Result(NewVersion(work.out, digest, table, "snapshot"), frame.graph, 0, monotonic() - began, notes)


def _frame_of_task(work: Work) -> Frame:
    """Return the frame of the task's network; tensors that are no parameters may hold infinities."""
    network = work.task.network(work.seed)
    state = state_of(network)
    table, _ = enter_grid(state.arrays, dtypes=state.dtypes, constants=state.constants)
    remedy = (
        f"is this the network of the task {work.spec.task}? Name another with --task, or leave out --data and --task: "
        "then the model is delivered without one"
    )
    hints = Hints(other_names(network), Arrays(state.arrays), remedy)
    return Frame(table, state.constants, work.task.graph(network), hints)


def _frame_of_delivery(work: Work, checkpoint: Checkpoint) -> Frame:
    """Return the frame of all of the checkpoint's own tensors, and the graph that came with it, if any."""
    graph = work.objects.get(work.spec.graph) if work.spec.graph else NO_GRAPH
    return Frame(checkpoint.table, checkpoint.entries, graph, Hints())


@dataclass(frozen=True, eq=False)
class Arrays:
    """Weights in memory."""

    by_name: Mapping[str, Array]

    def read(self, name: str) -> Array:
        """Return one tensor in its shape."""
        return self.by_name[name]

    def part(self, name: str, start: int, stop: int) -> Array:
        """Return one tensor from position `start` up to `stop`, flat."""
        return self.by_name[name].reshape(-1)[start:stop]


def update(work: Work, parent: Parent) -> Result:
    """Make the parent's next version of the checkpoint: exact, or the nearest sparse diff within the budget.

    Raises CheckpointError, Invalid, RangeError.
    """
    began, checkpoint = monotonic(), _fetch(work)
    fitted = fit(checkpoint, parent.snapshot.table, _hints(work, parent, checkpoint))
    changes = list(find_changes(fitted, parent.snapshot))
    diff = exact(changes)
    if not any(diff.streams):
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
    return Hints(names, parent.snapshot)


def _fetch(work: Work) -> Checkpoint:
    work.on_progress(0.0, "reads the checkpoint")
    assert work.spec.checkpoint is not None  # or there would be something to train
    return Checkpoint(work.objects.download(work.spec.checkpoint, work.folder / "checkpoint.safetensors"))


def _notes(work: Work, diff: Diff, changes: Sequence[Change]) -> tuple[str, ...]:
    roundings = [change.rounding for change in changes if change.rounding]
    unchanged = quantise.left_out(changes) if diff.kind == "sparse" else []
    missing = [f"stays as it was, for only an exact diff can change it: {name}" for name in unchanged]
    outgrown = describe_outgrown(changes, diff)
    return (_origin(work), *describe(roundings), *outgrown, *missing)


def _kept_off(table: Table, requested: Container[str]) -> Iterator[str]:
    """Yield a line for every fp32 tensor that no grid suits."""
    for spec in table:
        if spec.dtype == "F32" and spec.grid is None and spec.name not in requested:
            yield f"stays off the grid, for its smallest weights or infinities: only exact diffs change {spec.name}"


def _origin(work: Work) -> str:
    return f"made of the checkpoint {work.spec.checkpoint}"


def _matching(patterns: Sequence[str], table: Table) -> set[str]:
    """Return the tensors that match a pattern (`*` and `?` as in a shell); raises Invalid if a pattern matches none."""
    names = [spec.name for spec in table]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise Invalid(f"no tensor is called {pattern}", f"the model has {', '.join(names[:20])}")
    return _fitting(patterns, table)


def _fitting(patterns: Sequence[str], table: Table) -> set[str]:
    return {spec.name for spec in table if any(fnmatchcase(spec.name, pattern) for pattern in patterns)}
