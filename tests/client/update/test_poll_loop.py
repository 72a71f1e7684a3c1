"""The agent: when the next attempt is due, and how it is stopped."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time

import pytest

from diffclient.errors import BrokenChain, DiffClientError, ServerBusy, ServerUnreachable, Stopped, UpdateFailed
from diffclient.update import poll_loop
from diffclient.update.outcome import Outcome

NOTHING = Outcome("none", 1, "a" * 64, "a" * 64, poll_seconds=300)


def test_polls_are_spread_around_what_the_server_asks_for() -> None:
    waits = [poll_loop.wait(NOTHING, 0) for _ in range(300)]
    assert 240 <= min(waits) < 260 < 340 < max(waits) <= 360
    assert statistics.pstdev(waits) > 20


def test_failures_back_off_to_a_limit() -> None:
    error = UpdateFailed("chain", BrokenChain("a gap"))
    for failures in range(1, 40):
        longest = min(poll_loop.FIRST_WAIT * 2.0 ** (failures - 1), poll_loop.LONGEST_WAIT)
        assert longest / 2 <= poll_loop.wait(error, failures) <= longest
    assert poll_loop.wait(error, 10_000) <= poll_loop.LONGEST_WAIT


@pytest.mark.parametrize("wrapped", [False, True])
def test_retry_after_is_honoured_and_spread(wrapped: bool) -> None:
    busy = ServerBusy("shedding load", 600)
    error = UpdateFailed("poll", busy) if wrapped else busy
    waits = [poll_loop.wait(error, 1) for _ in range(100)]
    assert 600 <= min(waits) < max(waits) <= 720
    assert poll_loop.wait(ServerBusy("a lie", 1e12), 1) <= 1.2 * 24 * 3600


def test_the_loop_goes_on_after_errors_and_starts_over_after_success() -> None:
    results: list[Outcome | DiffClientError] = [
        ServerUnreachable("gone"), ServerUnreachable("gone"), NOTHING, ServerUnreachable("gone"), Stopped("enough"),
    ]  # fmt: skip
    told: list[Outcome | DiffClientError] = []
    waits: list[float] = []

    def update() -> Outcome:
        result = results.pop(0)
        if isinstance(result, DiffClientError):
            raise result
        return result

    with pytest.raises(Stopped):
        poll_loop.run(update, waits.append, lambda result, _seconds: told.append(result))
    assert [type(result) for result in told] == [ServerUnreachable, ServerUnreachable, Outcome, ServerUnreachable]
    assert waits[1] > waits[0]
    assert waits[3] <= poll_loop.FIRST_WAIT


def test_a_signal_ends_a_wait_at_once() -> None:
    sign = poll_loop.StopSign()
    with sign.watched():
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            sign.pause(60)
    assert time.monotonic() - began < 30


def test_a_signal_meanwhile_waits_for_a_clean_place() -> None:
    sign = poll_loop.StopSign()
    before = signal.getsignal(signal.SIGTERM)
    with sign.watched():
        sign.check()
        os.kill(os.getpid(), signal.SIGTERM)
        done = sum(range(1000))  # what was begun is finished
        assert done == 499500
        with pytest.raises(Stopped):
            sign.check("any", "callback")
        with pytest.raises(Stopped):
            sign.pause(60)
    assert signal.getsignal(signal.SIGTERM) is before
