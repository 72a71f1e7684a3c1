"""Enter a checkpoint that was trained elsewhere whole: as version 0, or as a version with tensors and graph of its own.

Grids are chosen anew. The diffs that lead to a checkpoint are left to `from_checkpoint`.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic

from diffclient.errors import InferenceError
from diffclient.measure.onnx_session import Session
from diffclient.release.manifest import NO_GRAPH
from diffclient.tensors import float_bits
from diffclient.tensors.snapshot import Array, Snapshot, Table, TensorSpec, enter_grid, write_snapshot
from diffserver.checkpoints.changes import Rounding, describe
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import Fitted, Hints, fit, table_changes
from diffserver.choices.delivery import DELIVERY
from diffserver.errors import CheckpointError, Invalid
from diffserver.pipeline.from_checkpoint import fetch, origin
from diffserver.pipeline.job_context import Result, Work, count_changed
from diffserver.pipeline.parent_version import Parent
from diffserver.tasks.tied import other_names
from diffserver.training.new_version import NewVersion
from diffserver.training.state_arrays import state_of

STATISTICS = ("*running_mean", "*running_var")
"""The names of running statistics, which stay off the grid, so that they arrive to the bit."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The tensors and the graph of a version that is made of a checkpoint."""

    table: Table
    """Names, shapes and dtypes; grids are chosen by the checkpoint's weights."""
    constants: Container[str]
    """The names of tensors that may hold infinities."""
    graph: bytes
    hints: Hints


def enter(work: Work, parent: Parent | None = None) -> Result:
    """Make a version of the checkpoint's weights: the one after `parent`, or version 0.

    Raises CheckpointError, Invalid, RangeError, InferenceError.
    """
    began, checkpoint = monotonic(), fetch(work)
    frame = _frame_of_delivery(work, checkpoint, parent) if work.spec.task == DELIVERY else _frame_of_task(work, parent)
    fitted = fit(checkpoint, frame.table, frame.hints)
    requested = _matching(work.spec.off_grid, frame.table) | _off_grid_before(parent)
    off_grid = requested | _fitting(STATISTICS, frame.table)
    table = tuple(_enter(fitted, spec, frame, off_grid)[0] for spec in frame.table)
    roundings: list[Rounding] = []
    digest = write_snapshot(work.out, table, _arrays(fitted, table, frame, off_grid, roundings))
    weights = Snapshot(work.out)
    if frame.graph and work.spec.task == DELIVERY:
        _require_fit(frame.graph, weights)
    news = _news(parent, digest, table) if parent else ()
    notes = (origin(work), *news, *fitted.notes, *describe(roundings), *_kept_off(table, off_grid))
    changed = count_changed(parent.snapshot, weights) if parent else 0
    return Result(NewVersion(work.out, digest, table, "snapshot"), frame.graph, changed, monotonic() - began, notes)


def _frame_of_task(work: Work, parent: Parent | None) -> Frame:
    """Return the frame of the task's network; tensors that are no parameters may hold infinities."""
    network = work.task.network(work.seed)
    state = state_of(network)
    table, _ = enter_grid(state.arrays, dtypes=state.dtypes, constants=state.constants)
    remedy = (
        f"is this the network of the task {work.spec.task}? Name another with --task, or leave out --data and --task: "
        "then the model is delivered without one"
    )
    if parent:
        remedy = f"the network of the task {work.spec.task} decides: change that first, and start the workers again"
    hints = Hints(other_names(network), Arrays(state.arrays), remedy)
    return Frame(table, state.constants - _finite_before(parent), work.task.graph(network), hints)


def _frame_of_delivery(work: Work, checkpoint: Checkpoint, parent: Parent | None) -> Frame:
    """Return the frame of all of the checkpoint's own tensors, and the graph that came with it, or the parent's."""
    entries = sorted(checkpoint.entries.values(), key=lambda entry: entry.name.encode())
    table = tuple(TensorSpec(entry.name, entry.shape, entry.dtype, None) for entry in entries)
    graph = work.spec.graph or (parent.graph.sha256 if parent else None)
    constants = checkpoint.entries.keys() - _finite_before(parent)
    return Frame(table, constants, work.objects.get(graph) if graph else NO_GRAPH, Hints())


def _finite_before(parent: Parent | None) -> set[str]:
    """Return the parent's tensors that are finite, and have to stay so."""
    if parent is None:
        return set()
    snapshot = parent.snapshot
    return {spec.name for spec in snapshot.table if float_bits.finite(snapshot.read(spec.name), spec.dtype)}


def _off_grid_before(parent: Parent | None) -> set[str]:
    """Return the parent's fp32 tensors that are off the grid, and stay there."""
    table = parent.snapshot.table if parent else ()
    return {spec.name for spec in table if spec.dtype == "F32" and spec.grid is None}


def _require_fit(graph: bytes, weights: Snapshot) -> None:
    """Raise CheckpointError if the graph does not take the weights: no device could use the version."""
    try:
        Session(graph, weights)
    except InferenceError as error:
        raise CheckpointError(f"the graph does not take these weights: {error}", "pass the .onnx model") from error


def _news(parent: Parent, digest: str, table: Table) -> Iterator[str]:
    """Yield lines on how the version differs from its parent; raises CheckpointError if its weights do not."""
    if digest == parent.digest:
        raise CheckpointError(f"the checkpoint has the very weights of version {parent.number}", "pass another one")
    yield "delivered whole: every device fetches the snapshot, and diffs go on from here"
    yield from table_changes(parent.snapshot.table, table)


def _enter(fitted: Fitted, spec: TensorSpec, frame: Frame, off_grid: Container[str]) -> tuple[TensorSpec, Array, Array]:
    """Return one tensor's entry of the table, and its weights before and after rounding to the grid."""
    before = fitted.read(spec.name)
    (entered,), after = enter_grid(
        {spec.name: before}, off_grid=off_grid, dtypes={spec.name: spec.dtype}, constants=frame.constants
    )
    return entered, before, after[spec.name]


def _arrays(
    fitted: Fitted, table: Table, frame: Frame, off_grid: Container[str], roundings: list[Rounding]
) -> Iterator[Array]:
    """Yield the weights on their grids, one tensor in memory at a time; append their roundings."""
    for spec in table:
        entered, before, after = _enter(fitted, spec, frame, off_grid)
        if entered.grid is not None:
            roundings.append(Rounding.between(spec.name, before, after))
        yield after


@dataclass(frozen=True, eq=False)
class Arrays:
    """Weights in memory."""

    by_name: Mapping[str, Array]

    def read(self, name: str) -> Array:
        """Return one tensor in its shape."""
        return self.by_name[name]


def _kept_off(table: Table, requested: Container[str]) -> Iterator[str]:
    """Yield a line for every fp32 tensor that no grid suits."""
    for spec in table:
        if spec.dtype == "F32" and spec.grid is None and spec.name not in requested:
            yield f"stays off the grid, for its smallest weights or infinities: only exact diffs change {spec.name}"


def _matching(patterns: Sequence[str], table: Table) -> set[str]:
    """Return the tensors that match a pattern (`*` and `?` as in a shell); raises Invalid if a pattern matches none."""
    names = [spec.name for spec in table]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise Invalid(f"no tensor is called {pattern}", f"the model has {', '.join(names[:20])}")
    return _fitting(patterns, table)


def _fitting(patterns: Sequence[str], table: Table) -> set[str]:
    return {spec.name for spec in table if any(fnmatchcase(spec.name, pattern) for pattern in patterns)}
