"""Processes that outlive whoever started them are known by a file, and not taken for later ones of the same id."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from deploy.loopback.process import Process

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
)


def test_it_is_started_once_and_leaves_no_file(tmp_path: Path) -> None:
    process = Process("sleeper", ("sleep", "60"), tmp_path)
    process.start()
    first = process.pid
    process.start()
    assert process.pid == first is not None
    process.stop()
    assert process.pid is None
    assert list(tmp_path.iterdir()) == [process.log]


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    process = Process("stubborn", (sys.executable, "-c", STUBBORN), tmp_path, grace_seconds=0.5)
    process.start()
    while "here" not in process.log.read_text():
        time.sleep(0.02)
    process.stop()
    assert process.pid is None


def test_a_later_process_of_the_same_id_is_left_alone(tmp_path: Path) -> None:
    process = Process("gone", ("sleep", "60"), tmp_path)
    (tmp_path / "gone.pid").write_text(f"{os.getpid()} 1\n")
    assert process.pid is None
    process.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    process = Process("nothing", (str(tmp_path / "nothing"),), tmp_path)
    with pytest.raises(FileNotFoundError):
        process.start()
    assert process.pid is None
