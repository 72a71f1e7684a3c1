"""A server's home in which trainings run in the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from diffserver.catalog import training_queue, versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.pipeline.run import make_candidate
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, reading, writing
from diffserver.storage.object_store import Objects
from diffserver.tasks import Task, load_task


class Home:
    """A migrated database and an object store in a folder, as `diffserver init` makes them."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.under(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = connect(self.settings.database)
        migrate.upgrade(self.engine)
        self.objects = Objects(self.settings.objects)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()

    def run(self, spec: TrainingSpec, go_on: bool = True, find: Callable[[str], Task] = load_task) -> NewCandidate:
        folder = self.scratch / f"{spec.kind}-{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        return make_candidate(spec, self.engine, self.objects, folder, lambda done, message: go_on, find)

    def submit(self, spec: TrainingSpec) -> int:
        with writing(self.engine) as session:
            if spec.kind == "base":
                versions.open_model(session, spec.model, spec.task)
            return training_queue.submit(session, spec).id

    def training(self, number: int) -> tuple[str, str | None, int | None]:
        with reading(self.engine) as session:
            row = training_queue.find(session, number)
            return row.state, row.error, row.candidate_id


def with_base(folder: Path, corpus: Path) -> Home:
    """A home in which version 0 of a model is trained and published."""
    new_home = Home(folder)
    base = new_home.run(base_spec(corpus))
    with writing(new_home.engine) as session:
        versions.publish(session, versions.record_candidate(session, base).id)
    return new_home


def base_spec(corpus: Path) -> TrainingSpec:
    return TrainingSpec("base", "m", str(corpus), domain="0-base", epochs=2)


def update_spec(corpus: Path) -> TrainingSpec:
    return TrainingSpec("update", "m", str(corpus), epochs=1)
