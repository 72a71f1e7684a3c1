"""A training under way, and the version that came of it: values that the pipeline hands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diffclient.manifest import ManifestKind
from diffclient.weights import Table
from diffserver.blobs import Objects
from diffserver.candidate import NewShortcut
from diffserver.jobs import TrainingSpec
from diffserver.tasks import Example, Task

if TYPE_CHECKING:
    from diffserver.training import OnProgress

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

    def examples(self, domain: str, split: str) -> Sequence[Example]:
        """One domain's examples, saying so as it may take a while."""
        self.on_progress(0.0 if split == "train" else TRAINING_SHARE, f"reads {domain}")
        return self.task.examples(Path(self.spec.data) / domain, split)


@dataclass(frozen=True)
class Result:
    """A version as the device's code made it: its weights on disk, and what it took to get there."""

    weights: Path
    digest: str
    table: Table
    graph: bytes
    kind: ManifestKind
    payload: bytes | None
    """None for a snapshot."""
    changed: int
    seconds: float
    """Of training and what follows it; reading the data is not counted."""
    notes: tuple[str, ...] = ()
    """What is worth knowing before it is published."""
    shortcuts: tuple[NewShortcut, ...] = ()
