"""What ends an update early: signals and the end of its time, wherever it is."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from diffclient.errors import Stopped, TookTooLong
from diffclient.update.interrupt import StopSign


def soon(seconds: float = 0.1, number: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal."""
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()


def ended_by(error: type[Exception], act: Callable[[], object]) -> float:
    """The seconds until `act` ended so."""
    began = time.monotonic()
    with pytest.raises(error):
        act()
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_at_once(number: signal.Signals) -> None:
    sign, before = StopSign(), signal.getsignal(number)
    with sign.watched():
        soon(number=number)
        assert ended_by(Stopped, lambda: sign.pause(60)) < 5
        assert ended_by(Stopped, sign.check) < 1
    assert signal.getsignal(number) is before


def test_a_signal_that_other_code_swallows_is_heeded_again() -> None:
    def swallowing() -> None:
        with contextlib.suppress(Exception):
            time.sleep(60)
        time.sleep(60)

    with StopSign().watched():
        soon()
        assert ended_by(Stopped, swallowing) < 5


def test_an_update_ends_in_its_time() -> None:
    sign = StopSign()

    def slow() -> None:
        with sign.within(0.1):
            time.sleep(60)

    with sign.watched():
        assert ended_by(TookTooLong, slow) < 5
        sign.check()  # and the next one begins afresh


def test_what_is_left_to_end_has_all_the_time() -> None:
    sign = StopSign()
    with sign.watched(), sign.within(0.2):
        sign.no_more_hurry()
        time.sleep(0.5)
        sign.check()


def test_no_time_is_any_time() -> None:
    sign = StopSign()
    with sign.watched(), sign.within(0):
        time.sleep(0.1)
        sign.check()


def test_a_stop_is_heeded_where_nothing_is_to_be_hurried_any_more() -> None:
    sign = StopSign()
    with sign.watched(), sign.within(60):
        with contextlib.suppress(Stopped):
            soon()
            time.sleep(60)
        sign.no_more_hurry()
        assert ended_by(Stopped, lambda: time.sleep(60)) < 5
