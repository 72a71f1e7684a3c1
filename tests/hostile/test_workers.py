"""Workers that die, lose their database or meet what no database stores; and whoever waits for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="a worker needs torch: pip install 'diffserver[train]'")

if not Path("/proc/self/stat").exists():
    pytest.skip("telling whether a process lives needs Linux's /proc", allow_module_level=True)

from deploy.loopback.cluster import Cluster
from tests.hostile.postgres_cluster import cluster
from tests.hostile.with_workers import DIFFSERVER, Home, alive, children
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

SHORT_LEASE = {"DIFFSERVER_LEASE_SECONDS": "3"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", dict(SHORT_LEASE))


@pytest.fixture
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def test_a_worker_that_is_killed_is_started_again(home: Home) -> None:
    number = home.submit("waiting")
    with home.serving() as server:
        wait_for((home.gate / "started").exists)
        (first,) = home.worker_pids()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: "killed by signal 9" in home.get("/readyz")["own_worker"])
        assert not Path(f"/proc/{first}").exists(), "no defunct process is left"
        (home.gate / "go").touch()
        assert home.ended(number).state == "done"
        assert home.get("/readyz")["own_worker"] == "runs (1 restart)"
        assert children(server.pid) == [home.worker_pids()[-1]]
        assert [line["again_in"] for line in home.logged("worker ended")] == [1.0]


@pytest.mark.long
def test_a_job_that_kills_workers_ends_and_the_next_one_is_done(home: Home) -> None:
    poison, next_one = home.submit("killer"), home.submit("waiting")
    (home.gate / "go").touch()
    with home.serving() as server:
        assert "3 workers were lost at it" in str(home.ended(poison).error)
        assert home.ended(next_one).state == "done"
        *dead, last = home.worker_pids()
        assert len(dead) >= 3
        assert not any(map(alive, dead))
        assert alive(last)
        assert children(server.pid) == [last], "no defunct process is left"
        folders = [path for path in next(home.temporary.iterdir()).iterdir() if path.is_dir()]
        assert len(folders) == 1, "folders of dead workers are removed"
        assert all("killed by signal 9" in line["cause"] for line in home.logged("worker ended"))
        assert home.get("/readyz")["trainings"] == {"workers": 1, "busy": 0, "waiting": 0}


def test_a_worker_ends_with_a_server_that_is_killed_and_puts_its_training_back(home: Home) -> None:
    number = home.submit("waiting")
    with home.serving() as server:
        wait_for((home.gate / "started").exists)
        (pid,) = home.worker_pids()
        server.kill()
        wait_for(lambda: not alive(pid), 15)
    training = home.training(number)
    assert (training.state, training.attempts, training.worker) == ("queued", 0, None)


def test_a_server_without_workers_is_ready_and_says_why_trainings_wait(home: Home) -> None:
    number = home.submit("waiting")
    with home.serving("--no-worker"):
        ready = home.get("/readyz")
        assert (ready["status"], ready["trainings"]) == ("ok", {"workers": 0, "busy": 0, "waiting": 1})
        assert "no worker is there" in home.get(f"/v1/trainings/{number}")["waiting"]
        assert "no worker is there" in shown(home, "status")
        assert "no worker is there" in shown(home, "trainings")
        with home.working():
            wait_for((home.gate / "started").exists)
            behind = home.submit("waiting")
            assert home.get(f"/v1/trainings/{behind}")["waiting"] == f"all workers are busy, with trainings {number}"
            assert home.get(f"/v1/trainings/{number}")["waiting"] is None
            (home.gate / "go").touch()
            assert home.ended(behind).state == "done"


def test_what_cannot_be_stored_is_told_as_far_as_it_can_be(home: Home) -> None:
    require_told(home)


def test_what_cannot_be_stored_is_told_with_postgresql_too(tmp_path: Path, postgres: Cluster) -> None:
    require_told(Home(tmp_path / "home", {"DIFFSERVER_DATABASE": postgres.url}))


def require_told(home: Home) -> None:
    number = home.submit("unspeakable")
    with home.working("--once") as worker:
        assert worker.wait(60) == 0
    assert home.training(number).state == "failed"
    assert home.training(number).error == "RuntimeError: tensor '???[31m?' is none"


def test_a_database_that_is_restarted_costs_neither_the_worker_nor_a_result(tmp_path: Path, postgres: Cluster) -> None:
    home = Home(tmp_path / "home", {"DIFFSERVER_DATABASE": postgres.url})
    with home.working() as worker:
        wait_for(lambda: home.logged("worker starts"))
        postgres.stop()
        wait_for(lambda: home.logged("waiting for the database"))
        postgres.start()
        number = home.submit("waiting")
        wait_for((home.gate / "started").exists)
        postgres.stop()
        before = len(home.logged("waiting for the database"))
        (home.gate / "go").touch()
        wait_for(lambda: len(home.logged("waiting for the database")) > before)
        postgres.start()
        assert home.ended(number).state == "done"
        assert worker.poll() is None


LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.long
def test_a_database_locked_for_longer_than_anyone_waits_costs_nothing(home: Home) -> None:
    number = home.submit("waiting")
    with home.working() as worker:
        wait_for((home.gate / "started").exists)
        with locked(home, seconds=45):
            (home.gate / "go").touch()
        assert home.ended(number).state == "done"
        assert worker.poll() is None


def test_a_locked_database_is_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffserver.pipeline.worker import Worker
    from diffserver.settings import Settings

    number = home.submit("killer")
    monkeypatch.setattr("diffserver.storage.database.WAIT_SECONDS", 0.2)
    worker = threading.Thread(target=Worker(home.engine, Settings.from_environment(home.environment)).run, args=(True,))
    with locked(home, seconds=3):
        worker.start()
        time.sleep(1)
        assert worker.is_alive()
    worker.join(30)
    assert "there is no task 'killer'" in str(home.training(number).error)


def locked(home: Home, seconds: float) -> subprocess.Popen[str]:
    """A process that keeps the database to itself for so long; its block ends when it does."""
    words = [sys.executable, "-c", LOCKER, str(home.folder / "diffserver.db"), str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    (folder := tmp_path / "disk").mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_is_outlived(small_disk: Path) -> None:
    home = Home(small_disk / "home", dict(SHORT_LEASE))
    number = home.submit("waiting")
    with home.serving() as server:
        wait_for((home.gate / "started").exists)
        (pid,) = home.worker_pids()
        fill(small_disk / "filler")
        (home.gate / "go").touch()
        time.sleep(8)
        assert (alive(pid), server.poll()) == (True, None)
        (small_disk / "filler").unlink()
        assert "No space left" in str(home.ended(number).error)
        assert home.ended(home.submit("waiting")).state == "done"
        assert home.worker_pids() == [pid]


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError, match="No space"):
        path.with_name("more").write_bytes(bytes(1 << 20))


def shown(home: Home, command: str) -> str:
    """What an operator's command prints."""
    environment = home.environment | {"DIFFSERVER_URL": home.url, "COLUMNS": "250"}
    words = [*DIFFSERVER, command]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
