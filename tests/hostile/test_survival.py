"""Trainings whose workers die, sleep or are told to stop, at any point: what becomes of the candidate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

pytest.importorskip("torch", reason="a worker needs torch: pip install 'diffserver[train]'")

if not Path("/proc/self/stat").exists():
    pytest.skip("telling whether a process lives needs Linux's /proc", allow_module_level=True)

from diffserver.catalog import training_queue, versions
from diffserver.catalog.jobs import lines
from diffserver.catalog.training_request import TrainingSpec
from diffserver.settings import Settings
from diffserver.storage.database import reading, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate, SavedState, Training
from tests.hostile.doomed_worker import HANGS
from tests.hostile.with_workers import ROOT, Home, alive, children
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

STEPS = 30
TASK = f"{ROOT}/examples/gestures/gestures.py:Gestures"

STEP = "diffserver.methods.parametrised:Parametrised.step"
WRITE = "diffserver.training.saved_state:write"
PUT = "diffserver.storage.object_store:Objects.put"
ROW = "diffserver.catalog.jobs.saved_states:replace"
PAYLOAD = "diffserver.training.make_version:write_version"
EXAMPLES = "diffserver.tasks.plain:PlainTask.examples"
MEASURE = "diffserver.tasks.plain:PlainTask.measure"
SHORTCUTS = "diffserver.pipeline.merged_diffs:make"
RECORD = "diffserver.catalog.versions:record_candidate"
FINISH = "diffserver.catalog.training_queue:finish"
RECORDED = "diffserver.pipeline.worker:Worker._record"


def long(*values: Any) -> Any:
    """Values of a case that only `make hostile` runs."""
    return pytest.param(*values, marks=pytest.mark.long)


class Site:
    """A home with a published base, and workers for updates."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home", {"DIFFSERVER_LEASE_SECONDS": "2", "DIFFSERVER_SAVE_SECONDS": "0"})
        self.engine, self.objects = self.home.engine, Objects(Settings.from_environment(self.home.environment).objects)
        spec = TrainingSpec("base", "m", str(self.home.data), "gestures", epochs=1)
        with writing(self.engine) as session:
            training_queue.submit(session, spec)
        assert self.worker().wait(60) == 0
        with writing(self.engine) as session:
            versions.publish(session, 1, by="test")

    def submit(self, **changes: Any) -> int:
        options = {"max_regression": None, "parameters": {"steps": str(STEPS)}} | changes
        with writing(self.engine) as session:
            spec = TrainingSpec("update", "m", str(self.home.data), **options)
            return training_queue.submit(session, spec).id

    def worker(self, *doom: str) -> subprocess.Popen[bytes]:
        """A worker that ends when no training waits, unless it is doomed."""
        module = ("tests.hostile.doomed_worker", *doom) if doom else ("diffserver",)
        words = [sys.executable, "-m", *module, "worker", "--once", "--task-file", TASK]
        with self.home.log.open("ab") as log:
            return subprocess.Popen(words, cwd=ROOT, env=self.home.environment, stdout=log, stderr=log)

    def expire(self) -> None:
        """Let the time of a lease go by."""
        with writing(self.engine) as session:
            for training in session.scalars(select(Training).where(Training.state == "running")):
                training.lease_until = training.created_at

    def killed_at(self, points: Sequence[str]) -> None:
        """Run a worker to each point, where it dies, and then one to the end."""
        for point in points:
            assert self.worker(point, "kill").wait(60) == -signal.SIGKILL, point
            self.expire()
        assert self.worker().wait(60) == 0

    def candidates(self) -> list[tuple[str, str | None]]:
        with reading(self.engine) as session:
            rows = session.scalars(select(Candidate).order_by(Candidate.id).where(Candidate.kind == "update"))
            return [(row.digest, row.payload_sha256) for row in rows]

    def hung(self) -> int:
        """How many doomed workers have come to where they hang."""
        return self.home.log.read_text().splitlines().count(HANGS)

    def states(self) -> int:
        with reading(self.engine) as session:
            return len(session.scalars(select(SavedState)).all())

    def said(self, number: int) -> list[str]:
        with reading(self.engine) as session:
            return [line.text for line in lines.entries(session, number, 0, 10_000)]

    def resumed(self, number: int) -> list[str]:
        # From the workers' own log: what they said in their last second is not in the database.
        said = [json.loads(line) for line in self.home.log.read_text().splitlines() if "goes on from" in line]
        return [line["event"] for line in said if line["training"] == number]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def straight(site: Site) -> tuple[str, str | None]:
    """The digest and the payload of an update whose worker lived."""
    site.submit()
    assert site.worker().wait(60) == 0
    return site.candidates()[-1]


@pytest.mark.parametrize(
    ("points", "resumed"),
    [
        ([f"{STEP}@9!", f"{ROW}@3!", f"{FINISH}@1!"], [8, 11, STEPS]),
        long([f"{STEP}@1", f"{STEP}@2!", f"{STEP}@17"], [1, 17]),
        long([f"{WRITE}@9!", f"{PUT}@6!", f"{ROW}@3!"], [8, 13, 16]),
        long([f"{WRITE}@{STEPS}", f"{PAYLOAD}@1"], [STEPS - 1, STEPS]),
        long([f"{MEASURE}@1!", f"{SHORTCUTS}@1"], [STEPS, STEPS]),
        long([f"{RECORD}@1!", f"{FINISH}@1!"], [STEPS, STEPS]),
    ],
    ids=["here and there", "between steps", "while saved", "at the end", "between build and record", "while recorded"],
)
def test_wherever_workers_are_killed_the_candidate_is_the_same(
    site: Site, straight: tuple[str, str | None], points: list[str], resumed: list[int]
) -> None:
    before, number = len(site.candidates()), site.submit()
    site.killed_at(points)
    assert site.home.training(number).state == "done"
    assert site.candidates()[before:] == [straight], "once, and to the same bits"
    assert site.resumed(number) == [f"1-sparse goes on from step {step}" for step in resumed]
    assert site.states() == 0


@pytest.mark.long
def test_a_worker_that_dies_after_the_record_leaves_nothing_to_do(site: Site, straight: tuple[str, str | None]) -> None:
    before, number = len(site.candidates()), site.submit()
    site.killed_at([f"{RECORDED}@1!"])
    assert site.candidates()[before:] == [straight]
    assert (site.resumed(number), site.states()) == ([], 0), "the state that was left is removed"


@pytest.mark.long
def test_of_several_trainings_those_that_are_done_are_not_trained_again(site: Site) -> None:
    site.submit(method="auto")
    assert site.worker().wait(60) == 0
    number = site.submit(method="auto")
    site.killed_at([f"{STEP}@{STEPS + 5}"])
    one, again = site.candidates()[-2:]
    assert one == again
    assert site.resumed(number) == [f"1-sparse goes on from step {STEPS}", "2-hashed goes on from step 4"]


def test_a_worker_that_slept_records_no_second_candidate(site: Site, straight: tuple[str, str | None]) -> None:
    before, number = len(site.candidates()), site.submit()
    sleeper = site.worker(f"{RECORD}@1", "stop")
    os.waitpid(sleeper.pid, os.WUNTRACED)
    site.expire()
    assert site.worker().wait(60) == 0
    assert site.candidates()[before:] == [straight]
    os.kill(sleeper.pid, signal.SIGCONT)
    assert sleeper.wait(60) == 0
    assert site.candidates()[before:] == [straight]
    assert "training cancelled, or taken over" in site.said(number)
    assert site.home.training(number).state == "done"


@pytest.mark.parametrize(
    "point",
    [MEASURE, long("diffserver.pipeline.run:load_parent"), long(EXAMPLES), long(STEP), long(SHORTCUTS)],
    ids=["measured", "parent fetched", "data read", "trained", "merged"],
)
def test_a_training_is_cancelled_at_once_in_any_phase_and_for_good(site: Site, point: str) -> None:
    before, number, hung = len(site.candidates()), site.submit(), site.hung()
    worker = site.worker(f"{point}@2" if point == STEP else f"{point}@1", "hang")
    wait_for(lambda: site.hung() > hung)
    with writing(site.engine) as session:
        training_queue.cancel(session, number)
    assert worker.wait(30) == 0
    assert "training cancelled, or taken over" in site.said(number)
    assert site.worker().wait(60) == 0
    assert (site.candidates()[before:], site.states()) == ([], 0)
    assert site.home.training(number).state == "cancelled"


def test_another_number_of_processes_goes_on_where_a_worker_and_its_processes_die(site: Site) -> None:
    before, number, hung = len(site.candidates()), site.submit(device="cpu,cpu"), site.hung()
    worker = site.worker(f"{ROW}@9!", "hang")
    wait_for(lambda: site.hung() > hung)
    processes = children(worker.pid)
    assert len(processes) >= 2
    worker.kill()
    worker.wait(60)
    wait_for(lambda: not any(map(alive, processes)), 15)
    with writing(site.engine) as session:
        training = training_queue.find(session, number)
        training.spec = {**training.spec, "device": "cpu,cpu,cpu"}
    site.expire()
    assert site.worker().wait(90) == 0
    assert site.home.training(number).state == "done"
    assert site.resumed(number) == ["1-sparse goes on from step 9"]
    assert (len(site.candidates()) - before, site.states()) == (1, 0)


def test_a_stop_of_the_whole_group_puts_a_training_of_several_processes_back(site: Site) -> None:
    number = site.submit(device="cpu,cpu", parameters={"steps": "100000"})
    worker = site.worker()
    wait_for(lambda: site.home.training(number).message.startswith("step "))
    for pid in (*children(worker.pid), worker.pid):
        os.kill(pid, signal.SIGTERM)
    worker.wait(30)
    assert (site.home.training(number).state, site.home.training(number).error) == ("queued", None)
    with writing(site.engine) as session:
        training_queue.cancel(session, number)
