"""The agent: when the next attempt is due, and that nothing but Stopped ends it."""

from __future__ import annotations

import statistics

import pytest

from diffclient.errors import (
    BrokenChain,
    DiffClientError,
    InternalError,
    ServerBusy,
    ServerUnreachable,
    Stopped,
    UpdateFailed,
)
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


@pytest.mark.parametrize(("usual", "longest"), [(1, 3600), (300, 3600), (3600, 14_400)])
def test_no_server_silences_a_device_for_long(usual: int, longest: int) -> None:
    """A device whose operator wants a poll every five minutes is not to be silent for a day."""
    waits = [poll_loop.wait(ServerBusy("a lie", 1e9), 1, usual) for _ in range(100)]
    assert longest <= min(waits) < max(waits) <= 1.2 * longest


def test_devices_that_start_together_do_not_poll_together() -> None:
    def first_poll(**options: float) -> float:
        waits: list[float] = []

        def update() -> Outcome:
            raise Stopped("enough")

        with pytest.raises(Stopped):
            poll_loop.run(update, waits.append, lambda _result, _seconds: None, **options)
        return sum(waits)

    moments = [first_poll() for _ in range(300)]
    assert 0 <= min(moments) < 5 < 55 < max(moments) <= poll_loop.START_WITHIN
    assert first_poll(start_within=0) == 0


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
    del waits[0]  # before the first update
    assert [type(result) for result in told] == [ServerUnreachable, ServerUnreachable, Outcome, ServerUnreachable]
    assert waits[1] > waits[0]
    assert waits[3] <= poll_loop.FIRST_WAIT


@pytest.mark.parametrize("error", [ValueError("http://[::1/x"), PermissionError("no"), MemoryError(), RecursionError()])
def test_no_fault_of_ours_ends_the_loop(error: Exception) -> None:
    told: list[Outcome | DiffClientError] = []

    def tell(result: Outcome | DiffClientError, _seconds: float) -> None:
        told.append(result)
        raise BrokenPipeError("the reader is gone")

    def update() -> Outcome:
        raise error if len(told) < 2 else Stopped("enough")

    with pytest.raises(Stopped):
        poll_loop.run(update, lambda _seconds: None, tell)
    assert [(type(each), each.__cause__) for each in told if isinstance(each, InternalError)] == [
        (InternalError, error)
    ] * 2
