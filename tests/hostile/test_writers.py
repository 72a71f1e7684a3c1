"""A writer that keeps the database, a disk that is full: who reads goes on, who writes is told to come back."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.hostile.served import Answer, Served, served
from tests.server import factories

WRITE_SECONDS = 2
REPORTS = 100
QUICK_SECONDS = 1.0
REPORT = {"stage": "installed", "to_digest": factories.digest("v2")}
POLL = {"digest": factories.digest("v0")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, write_seconds=WRITE_SECONDS) as running:
        yield running


@contextmanager
def writer(server: Served) -> Iterator[None]:
    """Keep the database to oneself, as a writer that is stuck does."""
    with closing(sqlite3.connect(server.home / "diffserver.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    """An answer, and how long it took."""
    began = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - began


def test_readers_wait_for_no_writer_and_writers_briefly(server: Served) -> None:
    device = server.device()

    def report() -> tuple[Answer, float]:
        return timed(lambda: server.asked("POST", "/v1/device/reports", REPORT, device))

    payload = factories.update("v0", "v1", 1).manifest["payload"]["sha256"]
    reads: list[Callable[[], Answer]] = [
        lambda: server.asked("GET", "/healthz"),
        lambda: server.asked("GET", "/readyz"),
        lambda: server.asked("GET", "/v1/tuf/timestamp.json"),
        lambda: server.asked("GET", f"/v1/blobs/{payload}"),
        lambda: server.asked("GET", "/v1/models", token=server.operator),
        lambda: server.asked("POST", "/v1/device/poll", POLL, device),
    ]
    with ThreadPoolExecutor(REPORTS) as pool:
        with writer(server):
            waiting = [pool.submit(report) for _ in range(REPORTS)]
            time.sleep(0.5)
            for _ in range(2):
                for answer, seconds in map(timed, reads):
                    assert answer.status == 200
                    assert seconds < QUICK_SECONDS
            refused = [future.result() for future in waiting]
        assert "that the device was seen is not written down" in server.log()
        for answer, seconds in refused:
            assert answer.status == 503
            assert 5 <= int(answer.headers["retry-after"]) <= 20, "its turn came and the database was locked, or not"
            assert seconds < 2 * WRITE_SECONDS + 2
        assert report()[0].status == 201


def test_a_writer_that_is_soon_done_is_waited_for(server: Served) -> None:
    device = server.device()
    with ThreadPoolExecutor(20) as pool:
        with writer(server):
            waiting = [pool.submit(server.asked, "POST", "/v1/device/reports", REPORT, device) for _ in range(20)]
            time.sleep(WRITE_SECONDS / 2)
        assert {future.result().status for future in waiting} == {201}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of a few megabytes of its own."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until no byte more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def test_a_poll_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path) as home, served(home) as server:
        devices = [server.device(f"device {number}") for number in range(3)]
        fill(home / "filler")
        for device in devices:
            answer, seconds = timed(partial(server.asked, "POST", "/v1/device/poll", POLL, device))
            assert (answer.status, answer.json()["action"]) == (200, "update")
            assert seconds < QUICK_SECONDS
            assert server.asked("POST", "/v1/device/reports", REPORT, device).status == 503
        assert server.asked("GET", "/v1/tuf/timestamp.json").status == 200
        (home / "filler").unlink()
        assert server.asked("POST", "/v1/device/poll", POLL, devices[0]).status == 200
        seen = server.asked("GET", "/v1/models/speech/devices", token=server.operator).json()["items"]
        assert [device["last_seen"] is not None for device in seen] == [True, False, False]
