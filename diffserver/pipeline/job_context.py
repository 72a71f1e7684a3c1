"""A training under way, the version that came of it, and its errors: values that the pipeline hands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from diffclient.tensors.float_bits import bits_of
from diffclient.tensors.snapshot import Snapshot
from diffserver.catalog.candidate import NewShortcut
from diffserver.catalog.training_request import TrainingSpec
from diffserver.evaluation import Evaluation
from diffserver.pipeline.parent_version import Parent
from diffserver.storage.object_store import Objects
from diffserver.tasks import Example, Task
from diffserver.training.new_version import NewVersion
from diffserver.training.progress import Cancelled, OnProgress

TRAINING_SHARE = 0.9
"""How much of the progress is training; the rest is evaluation."""


@dataclass(frozen=True)
class Work:
    """One training under way: what was asked for, where things are kept, who hears of progress."""

    spec: TrainingSpec
    task: Task
    objects: Objects
    folder: Path
    on_progress: OnProgress
    number: int = 0
    """Of the version to be made."""

    @property
    def seed(self) -> int:
        """Another one for each version, so that hashed diffs of a chain share no buckets."""
        return self.spec.seed + self.number

    @property
    def out(self) -> Path:
        """Where the version's weights are written."""
        return self.folder / "version.safetensors"

    def say(self, done: float, message: str) -> None:
        """Tell how far the work is, 0 to 1; raises Cancelled if it is no longer wanted."""
        if not self.on_progress(done, message):
            raise Cancelled(f"stopped at: {message}")

    def examples(self, domain: str, split: str) -> Sequence[Example]:
        """One domain's examples, saying so as it may take a while; raises Cancelled."""
        self.say(0.0 if split == "train" else TRAINING_SHARE, f"reads {domain}")
        return self.task.examples(Path(self.spec.data) / domain, split)


@dataclass(frozen=True)
class Result:
    """A version as the device's code made it, its graph, and what it took to get there."""

    version: NewVersion
    graph: bytes
    changed: int
    """How many weights differ from the parent's."""
    seconds: float
    """Of training and what follows it; reading the data is not counted."""
    notes: tuple[str, ...] = ()
    """What is worth knowing before it is published."""
    shortcuts: tuple[NewShortcut, ...] = ()


def result_of_update(
    work: Work, parent: Parent, version: NewVersion, began: float, notes: tuple[str, ...] = ()
) -> Result:
    """Return what a version is as a result: with its parent's graph; `began` is when work on it did."""
    graph = work.objects.get(parent.graph.sha256)
    changed = _count_changed(parent.snapshot, Snapshot(version.weights))
    return Result(version, graph, changed, monotonic() - began, notes)


def _count_changed(before: Snapshot, after: Snapshot) -> int:
    """Count by bits, for a NaN that stays is no change."""
    bits = ((bits_of(before.read(spec.name)), bits_of(after.read(spec.name))) for spec in before.table)
    return sum(int(np.count_nonzero(old != new)) for old, new in bits)


@dataclass(frozen=True)
class MeasuredVersion:
    """A version, and the errors that devices make with it on every test set, the new domain's last."""

    work: Work
    parent: Parent | None
    """What it was made of; a base has none."""
    result: Result
    errors: Evaluation

    @property
    def new(self) -> str | None:
        """The domain that the parent does not know; a checkpoint may bring none."""
        known = self.parent.domains if self.parent else ()
        return next((domain for domain in self.errors if domain not in known), None)
