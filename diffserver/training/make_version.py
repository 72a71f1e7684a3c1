"""Make a version: train a method, encode its result, and decode and apply that with the device's code.

The version is the device's result, never the weights that training held in memory. Choosing versions and keeping them
is left to the pipeline and to the experiment.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Protocol

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array, Snapshot, Table, enter_grid, write_snapshot
from diffserver.methods.definition import Definition
from diffserver.methods.method import Method, MethodError, Packed, Result, Weights
from diffserver.methods.setting import Setting
from diffserver.tasks import Task
from diffserver.training import clip_to_grid
from diffserver.training.assignment import Assignment
from diffserver.training.batches import Lesson
from diffserver.training.new_version import NewVersion
from diffserver.training.progress import OnProgress
from diffserver.training.saved_state import Keeper, UnfitState
from diffserver.training.state_arrays import state_of
from diffserver.training.trainable import require_unmoved


class ExistingVersion(Protocol):
    """An existing version."""

    @property
    def snapshot(self) -> Snapshot:
        """Its weights."""

    @property
    def digest(self) -> str:
        """Its digest."""


class Elsewhere(Protocol):
    """Other processes, which find the task and its examples by themselves."""

    def train(
        self,
        assignment: Assignment,
        setting: Setting,
        folder: Path,
        on_progress: OnProgress | None,
        keeper: Keeper | None,
    ) -> Method:
        """Return the trained method; files may go to `folder`. Raises as training here does."""


def make_version(
    task: Task,
    definition: Definition,
    lesson: Lesson | Elsewhere,
    out: Path,
    *,
    seed: int,
    parent: ExistingVersion | None = None,
    budget: float = 1.0,
    full: ExistingVersion | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    keeper: Keeper | None = None,
) -> NewVersion:
    """Train by a method from a parent, or version 0 from nothing, and write the weights of devices to `out`.

    `full` is the fully retrained model that some methods compress. With a `keeper`, training goes on from its last
    state; one that does not fit is refused, and training begins anew. `device` is where a lesson is trained here.

    Raises TaskError, MethodError, RangeError, PayloadError, and Cancelled once `on_progress` answers False.
    """
    assignment = Assignment(
        definition, seed, parent.snapshot if parent else None, budget, full.snapshot if full else None
    )
    setting = assignment.setting(task)

    def trained() -> Method:
        if not isinstance(lesson, Lesson):
            return lesson.train(assignment, setting, out.parent, on_progress, keeper)
        return assignment.train(setting, task, lesson, device=device, on_progress=on_progress, keeper=keeper)

    try:
        method = trained()
    except UnfitState as error:
        assert keeper is not None  # or there would be no state
        keeper.refuse(str(error))
        method = trained()
    if definition.recipe and parent is not None:
        require_unmoved(setting.parent, state_of(setting.network))
    return write_version(method.result(), parent, out, state_of(setting.network).constants)


def write_version(
    result: Result, parent: ExistingVersion | None, out: Path, constants: Container[str] = ()
) -> NewVersion:
    """Write a method's result as a version: a diff applied by the device's code, or weights on their grids.

    In version 0 `constants`, the tensors that are no parameters, stay off the grid.

    Raises MethodError, RangeError, PayloadError.
    """
    if isinstance(result, Diff):
        if parent is None:
            raise MethodError("version 0 has no parent that a diff could start from")
        table = parent.snapshot.table
        payload = encode(result, table, parent.digest)
        opened = open_payload(payload, table, parent.digest)
        return NewVersion(out, apply(parent.snapshot, [opened], out), opened.table_after, result.kind, payload)
    table, arrays = _on_grids(result.weights, parent, constants)
    packed = result.payload if isinstance(result, Packed) else None
    return NewVersion(out, write_snapshot(out, table, arrays), table, "snapshot", packed)


def _on_grids(weights: Weights, parent: ExistingVersion | None, constants: Container[str]) -> tuple[Table, list[Array]]:
    """Return the table, and the weights in its order; version 0 chooses the grids of all later versions."""
    if parent is not None:
        return parent.snapshot.table, clip_to_grid.enter(parent.snapshot.table, weights)
    table, entered = enter_grid(weights, off_grid=constants, constants=constants)
    return table, [entered[spec.name] for spec in table]
