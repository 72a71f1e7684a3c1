"""Values that the pipeline passes on: a request's work, its result, and the result with its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from diffclient.diff.streams import chunks
from diffclient.tensors.float_bits import bits_of
from diffclient.tensors.snapshot import Snapshot, TensorSpec
from diffserver.catalog.candidate import NewShortcut
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import BASE
from diffserver.evaluation import Evaluation
from diffserver.pipeline.job.keeping import States
from diffserver.pipeline.parent_version import Parent
from diffserver.storage.object_store import Objects
from diffserver.tasks import Example, Task, load_task
from diffserver.training.new_version import NewVersion
from diffserver.training.progress import Cancelled, OnProgress

TRAINING_SHARE = 0.9
"""The share of the progress that is training; the rest is evaluation."""


@dataclass(frozen=True)
class Work:
    """One training: its request, the stores and folder that it uses, and the callback for its progress."""

    spec: TrainingSpec
    task: Task
    objects: Objects
    folder: Path
    on_progress: OnProgress
    states: States | None = None
    """Where states of trainings are kept; None: nowhere."""
    part: str = BASE
    """The name of the training among those of its request."""
    number: int = 0
    """The number of the new version."""
    find: Callable[[str], Task] = load_task
    """Finds the task again in other processes."""

    @property
    def seed(self) -> int:
        """The version's own seed, so that hashed diffs of a chain share no buckets."""
        return self.spec.seed + self.number

    @property
    def out(self) -> Path:
        """The file for the version's weights."""
        return self.folder / "version.safetensors"

    def report(self, progress: float, message: str) -> None:
        """Report progress, 0 to 1; raises Cancelled if the callback ends the work."""
        if not self.on_progress(progress, message):
            raise Cancelled(f"stopped at: {message}")

    def examples(self, domain: str, split: str) -> Sequence[Example]:
        """Return one domain's examples; raises Cancelled."""
        self.report(0.0 if split == "train" else TRAINING_SHARE, f"reads {domain}")
        return self.task.examples(Path(self.spec.data) / domain, split)


@dataclass(frozen=True)
class Result:
    """A version as the device's code made it, with its graph, cost and notes."""

    version: NewVersion
    graph: bytes
    changed: int
    """The number of weights that differ from the parent's."""
    seconds: float
    """The time of training, coding and applying, without reading the data."""
    notes: tuple[str, ...] = ()
    """Lines that an operator should read before publishing."""
    shortcuts: tuple[NewShortcut, ...] = ()


def result_of_update(
    work: Work, parent: Parent, version: NewVersion, began: float, notes: tuple[str, ...] = ()
) -> Result:
    """Return an update's result, with its parent's graph; `began` is the monotonic time at which work on it began."""
    graph = work.objects.get(parent.graph.sha256)
    changed = count_changed(parent.snapshot, Snapshot(version.weights))
    return Result(version, graph, changed, monotonic() - began, notes)


def count_changed(before: Snapshot, after: Snapshot) -> int:
    """Count the weights whose bits differ, all of a tensor that is new or has another shape or dtype.

    An unchanged NaN is no change.
    """
    comparable = {(spec.name, spec.shape, spec.dtype) for spec in before.table}
    return sum(
        _differing(before, after, spec) if (spec.name, spec.shape, spec.dtype) in comparable else spec.size
        for spec in after.table
    )


def _differing(before: Snapshot, after: Snapshot, spec: TensorSpec) -> int:
    parts = ([bits_of(weights.part(spec.name, *chunk)) for weights in (before, after)] for chunk in chunks(spec.size))
    return sum(int(np.count_nonzero(old != new)) for old, new in parts)


@dataclass(frozen=True)
class MeasuredVersion:
    """A result with the errors of the device's code on every test set, the new domain's last."""

    work: Work
    parent: Parent | None
    """The version that it was made from; None for a base."""
    result: Result
    errors: Evaluation

    @property
    def new_domain(self) -> str | None:
        """The domain that the parent was not measured on; None if a checkpoint brings none."""
        domains = self.parent.domains if self.parent else ()
        return next((domain for domain in self.errors if domain not in domains), None)
