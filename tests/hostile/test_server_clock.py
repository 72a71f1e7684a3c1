"""Servers whose clock is wrong: what they would sign is expired, so they refuse and name the clock."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from diffserver.demo.run import free_port, wait_until_ready
from diffserver.settings import TOKEN_FILE, Settings
from diffserver.storage.database import connect, reading
from diffserver.trust import metadata_rows
from tests.server import factories
from tests.server.conftest import record

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime: apt-get install faketime")

DIFFSERVER = (sys.executable, "-m", "diffserver")
LIBRARY = "/usr/$LIB/faketime/libfaketime.so.1"
"""Of Debian's package; the loader puts the folder of its architecture for $LIB."""

YEARS_AGO = datetime(1971, 1, 1, tzinfo=UTC)


def command(home: Path, clock: datetime | None, *words: str) -> list[str]:
    """A command of the server at a home, run by a clock that began there; by the right one if None."""
    return [*(_by(clock) if clock else []), *DIFFSERVER, *words, "--home", str(home)]


def _by(clock: datetime) -> list[str]:
    # Without the program `faketime`, which takes the signals for the server, and leaves a semaphore when it is stopped.
    ahead = round((clock - datetime.now(UTC)).total_seconds())
    # What only measures how long something takes is left alone.
    return ["env", f"LD_PRELOAD={LIBRARY}", "FAKETIME_DONT_FAKE_MONOTONIC=1", f"FAKETIME={ahead:+}"]


def run(home: Path, clock: datetime | None, *words: str) -> tuple[int, str]:
    """Status and complaint of a command."""
    done = subprocess.run(command(home, clock, *words), capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a candidate that can be published."""
    assert run(tmp_path / "home", None, "init") == (0, "")
    engine = connect(Settings.under(tmp_path / "home").database)
    record(engine, factories.base())
    return tmp_path / "home"


@contextmanager
def serving(home: Path, clock: datetime | None) -> Iterator[str]:
    """A server by that clock; gives its address."""
    port = free_port()
    with (home / "log").open("wb") as log:
        words = command(home, clock, "serve", "--no-worker", "--port", str(port))
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def publish(home: Path, url: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {(home / TOKEN_FILE).read_text().strip()}"}
    return httpx2.post(f"{url}/v1/candidates/1/publish", json={}, headers=headers, timeout=60)


def signed(home: Path) -> list[tuple[str, int]]:
    """Roles and versions in force."""
    with reading(connect(Settings.under(home).database)) as session:
        return sorted((role, version) for role, version, _ in metadata_rows.expiries(session))


@pytest.mark.parametrize("ago", [timedelta(days=365 * 55), timedelta(days=2)])
def test_a_server_whose_clock_is_behind_signs_nothing_and_says_so(home: Path, ago: timedelta) -> None:
    before, clock = signed(home), datetime.now(UTC) - ago
    with serving(home, clock) as url:
        answer = publish(home, url)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:diffserver:problem:clock-behind")
    assert f"the clock of the server's database says {clock:%Y-%m-%d}" in answer.json()["detail"]
    assert signed(home) == before
    assert "metadata was not renewed" in (home / "log").read_text(), "the log says so before anyone publishes"
    with serving(home, None) as url:
        assert publish(home, url).status_code == 201


def test_trust_is_not_set_up_by_a_clock_that_is_behind(tmp_path: Path) -> None:
    status, complaint = run(tmp_path, YEARS_AGO, "init")
    assert (status, complaint.count("clock")) == (1, 3)
    assert "says 1971-01-01" in complaint
    assert run(tmp_path, None, "init") == (0, "")


def test_after_a_clock_that_was_ahead_an_operator_says_which_was_right(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run(home, datetime.now(UTC) + timedelta(days=300), "init") == (0, "")
    record(connect(Settings.under(home).database), factories.base())
    status, complaint = run(home, None, "keys", "renew")
    assert status == 1
    assert "diffserver keys accept-clock" in complaint
    assert run(home, YEARS_AGO, "keys", "accept-clock")[0] == 1, "no one can take that for right"
    assert run(home, None, "keys", "accept-clock") == (0, "")
    with serving(home, None) as url:
        assert publish(home, url).status_code == 201
