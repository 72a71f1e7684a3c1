"""A block of the main thread that another thread ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from diffserver.pipeline.job.interrupt import Interrupt, interruptible
from diffserver.training.progress import Cancelled


@contextmanager
def calling(interrupt: Interrupt) -> Iterator[None]:
    """Call it again and again from another thread."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.05):
            interrupt()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_block_that_waits_ends_at_once() -> None:
    began = time.monotonic()
    with interruptible() as interrupt, calling(interrupt), pytest.raises(Cancelled):
        time.sleep(60)
    assert interrupt.fired
    assert time.monotonic() - began < 5


def test_after_the_block_nothing_is_ended() -> None:
    with interruptible() as interrupt:
        pass
    interrupt()
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.1)
    assert not interrupt.fired


def test_an_import_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.3)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def import_and_wait() -> None:
        __import__("slow_to_import")
        time.sleep(60)

    with interruptible() as interrupt, calling(interrupt), pytest.raises(Cancelled):
        import_and_wait()
    assert sys.modules.pop("slow_to_import").whole


def test_a_block_of_another_thread_goes_on() -> None:
    went_on: list[bool] = []

    def block() -> None:
        with interruptible() as interrupt:
            interrupt()
            went_on.append(not interrupt.fired)

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert went_on == [True]
