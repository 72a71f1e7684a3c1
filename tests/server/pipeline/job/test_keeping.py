"""States of trainings in the object store: who goes on from them, who may write them, and when they go."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

torch = pytest.importorskip("torch", reason="a worker needs torch: pip install 'diffserver[train]'")

from diffclient.release.manifest import Blob  # noqa: E402
from diffserver.catalog import training_queue  # noqa: E402
from diffserver.catalog.jobs import lines  # noqa: E402
from diffserver.catalog.training_request import TrainingSpec  # noqa: E402
from diffserver.errors import JobLost  # noqa: E402
from diffserver.logs import make_log  # noqa: E402
from diffserver.pipeline.job.job_log import JobLog, Lines  # noqa: E402
from diffserver.pipeline.job.keeping import PartKeeper, States, remove_ended  # noqa: E402
from diffserver.storage.database import connect, reading, writing  # noqa: E402
from diffserver.storage.object_store import Objects  # noqa: E402
from diffserver.storage.tables import SavedState  # noqa: E402
from diffserver.training.saved_state import State  # noqa: E402

LEASE = 60.0
ABOUT = {"parent": "a", "data": "b"}


class Job:
    """A training, and workers that come to it one after another."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.objects = Objects((folder / "objects").as_uri())
        with writing(engine) as session:
            self.number = training_queue.submit(session, TrainingSpec("base", "m", "/data")).id

    def taken_by(self, worker: str, lease_s: float = LEASE, seconds: float = 0) -> States:
        """The states as a worker has them that has just claimed the training."""
        assert training_queue.claim(self.engine, worker, lease_s) is not None
        log = JobLog(make_log(io.StringIO()), Lines(self.engine, worker), self.number)
        return States(self.engine, self.objects, log, self.number, worker, seconds, self.folder)

    def said(self, states: States) -> list[str]:
        states.log._lines.flush()
        with reading(self.engine) as session:
            return [line.text for line in lines.entries(session, self.number, 0, 100)]

    def kept(self) -> list[Blob]:
        with reading(self.engine) as session:
            return list(session.scalars(select(SavedState.object)))

    def stored(self) -> set[str]:
        return {item.sha256 for item in self.objects.list_all()}


@pytest.fixture
def job(engine: Engine, tmp_path: Path) -> Job:
    return Job(engine, tmp_path)


def at(step: int) -> Callable[[], State]:
    return lambda: {"diff": {"done": step}}


def save(states: States, step: int = 5, part: str = "1-sparse", ended: bool = False) -> PartKeeper:
    keeper = states.of(part, ABOUT)
    keeper.keep(at(step), ended=ended)
    return keeper


def test_another_worker_goes_on_from_the_last_state_of_each_part(job: Job) -> None:
    first = job.taken_by("lost", lease_s=-1)
    save(first, 7)
    save(first, 9)
    save(first, 3, part="2-hashed")
    assert {blob.sha256 for blob in job.kept()} == job.stored(), "replaced ones are gone"
    second = job.taken_by("second")
    states = {part: second.of(part, ABOUT).last() for part in ("1-sparse", "2-hashed", "3-full")}
    assert states == {"1-sparse": at(9)(), "2-hashed": at(3)(), "3-full": None}
    assert "1-sparse goes on from step 9: saved_by=lost" in job.said(second)


def test_seconds_are_counted_on(job: Job) -> None:
    keeper = job.taken_by("lost", lease_s=-1).of("base", ABOUT)
    keeper._began -= 100
    keeper.keep(at(1), ended=False)
    again = job.taken_by("second").of("base", ABOUT)
    again.last()
    assert 100 <= again.seconds_before < 110


def test_a_worker_that_lost_its_training_overwrites_nothing(job: Job) -> None:
    lost = job.taken_by("lost", lease_s=-1)
    save(lost, 7)
    save(job.taken_by("second"), 7)
    kept = job.kept()
    with pytest.raises(JobLost):
        save(lost, 30)
    assert job.kept() == kept
    assert job.stored() == {blob.sha256 for blob in kept}, "what it wrote is gone, and nothing else"


def test_a_cancelled_training_keeps_no_states(job: Job) -> None:
    states = job.taken_by("w")
    save(states)
    with writing(job.engine) as session:
        training_queue.cancel(session, job.number)
    with pytest.raises(JobLost):
        save(states, 6)
    remove_ended(job.engine, job.objects)
    assert (job.kept(), job.stored()) == ([], set())


def test_states_of_trainings_under_way_stay(job: Job) -> None:
    save(job.taken_by("w"))
    training_queue.release(job.engine, "w")
    remove_ended(job.engine, job.objects)
    assert len(job.kept()) == len(job.stored()) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda job: job.objects.remove(job.kept()[0].sha256), "there is no object"),
        (lambda job: damage(job, b"other bytes"), "holds other bytes"),
        (lambda job: substitute(job, b"no state"), "it cannot be read"),
        (lambda job: substitute(job, b""), "it cannot be read"),
        (lambda job: substitute(job, pickled({"about": ABOUT})), "it is no state of a training"),
        (lambda job: substitute(job, pickled({"about": Path("/")})), "it holds more than tensors, numbers and texts"),
    ],
    ids=["missing", "damaged", "foreign", "empty", "incomplete", "code"],
)
def test_a_state_that_cannot_be_read_is_ignored_and_said(job: Job, spoil: Callable[[Job], None], reason: str) -> None:
    save(job.taken_by("lost", lease_s=-1))
    spoil(job)
    second = job.taken_by("second")
    assert second.of("1-sparse", ABOUT).last() is None
    (said,) = [line for line in job.said(second) if "is ignored" in line]
    assert reason in said
    save(second, 8)
    assert second.of("1-sparse", ABOUT).last() == at(8)()


def damage(job: Job, content: bytes) -> None:
    """Put other bytes where the state was."""
    sha256 = job.kept()[0].sha256
    (job.folder / "objects" / "sha256" / sha256[:2] / sha256).write_bytes(content)


def pickled(value: object) -> bytes:
    """What torch makes of a value."""
    torch.save(value, buffer := io.BytesIO())
    return buffer.getvalue()


def substitute(job: Job, content: bytes) -> None:
    """Have the row name another object."""
    blob = job.objects.put(content)
    with writing(job.engine) as session:
        session.scalars(select(SavedState)).one().object = blob


def test_a_state_of_another_parent_is_ignored_and_said(job: Job) -> None:
    save(job.taken_by("lost", lease_s=-1))
    second = job.taken_by("second")
    keeper = second.of("1-sparse", ABOUT | {"parent": "c", "release": "2"})
    assert (keeper.last(), keeper.last()) == (None, None)
    assert "the saved state of 1-sparse is ignored: reason=it is of another parent, release" in job.said(second)


def test_states_are_saved_now_and_then_and_at_the_end(job: Job) -> None:
    keeper = save(job.taken_by("w", seconds=1000), 1)
    assert job.kept() == []
    keeper.keep(at(2), ended=True)
    assert len(job.kept()) == 1


def test_saving_that_takes_long_is_done_less_often(job: Job) -> None:
    keeper = job.taken_by("w", seconds=0.001).of("1-sparse", ABOUT)
    time.sleep(0.01)

    def slow() -> State:
        time.sleep(0.1)
        return at(2)()

    keeper.keep(slow, ended=False)
    keeper.keep(at(3), ended=False)
    with reading(job.engine) as session:
        assert session.scalars(select(SavedState.step)).one() == 2


@pytest.mark.parametrize(
    "without",
    [
        lambda states: replace(states, folder=states.folder / "gone"),
        lambda states: replace(states, engine=connect(f"sqlite:///{states.folder}/gone/database")),
    ],
    ids=["disk", "database"],
)
def test_a_disk_or_a_database_that_is_away_costs_a_warning(job: Job, without: Callable[[States], States]) -> None:
    states = job.taken_by("w")
    save(without(states), 4)
    assert job.kept() == []
    assert any("the state could not be saved: step=4" in line for line in job.said(states))


def test_a_training_that_comes_further_may_lose_more_workers(job: Job) -> None:
    for step in (5, 6, 7, 7, 7):
        save(job.taken_by(f"worker-{step}", lease_s=-1), step)
    assert training_queue.claim(job.engine, "next", LEASE) is None, "three were lost at step 7"
