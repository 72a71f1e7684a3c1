"""The agent: updates for ever, with jitter between polls and backoff after failures, until asked to stop."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from diffclient.errors import DiffClientError, ServerBusy, Stopped, UpdateFailed
from diffclient.network.messages import POLL_LONGEST
from diffclient.update.outcome import Outcome

FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
"""Seconds between attempts after one failure in a row, and after many."""


def run(
    update: Callable[[], Outcome],
    pause: Callable[[float], None],
    tell: Callable[[Outcome | DiffClientError, float], None],
) -> None:
    """Update for ever; `tell` hears each outcome or error and the seconds until the next attempt.

    Ends only by Stopped, which `update` or `pause` raises.
    """
    failures = 0
    while True:
        try:
            result: Outcome | DiffClientError = update()
        except Stopped:
            raise
        except DiffClientError as error:
            result = error
        failures = failures + 1 if isinstance(result, DiffClientError) else 0
        seconds = wait(result, failures)
        tell(result, seconds)
        pause(seconds)


def wait(result: Outcome | DiffClientError, failures: int) -> float:
    """Return the seconds until the next attempt: as the server asks, spread so that devices do not meet."""
    if isinstance(result, Outcome):
        return result.poll_seconds * random.uniform(0.8, 1.2)
    backoff = min(FIRST_WAIT * 2.0 ** min(failures - 1, 30), LONGEST_WAIT) * random.uniform(0.5, 1.0)
    cause = result.cause if isinstance(result, UpdateFailed) else result
    asked = cause.retry_after if isinstance(cause, ServerBusy) else None
    # Never sooner than asked, and not all at the same moment.
    return max(backoff, min(asked or 0.0, POLL_LONGEST) * random.uniform(1.0, 1.2))


class StopSign:
    """SIGTERM and Ctrl-C, turned into Stopped where stopping is clean; a second one ends the process."""

    def __init__(self) -> None:
        self._raised = False
        self._pausing = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Heed the signals inside."""
        before = {number: signal.signal(number, self._heed) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self, *_: object) -> None:
        """Raise Stopped if someone asked to stop; fit to be called with anything, as a callback."""
        if self._raised:
            raise Stopped("stopped as asked; nothing was left half done")

    def pause(self, seconds: float) -> None:
        """Wait, or raise Stopped at once when someone asks to stop."""
        self._pausing = True
        try:
            self.check()
            time.sleep(seconds)
        finally:
            self._pausing = False

    def _heed(self, number: int, _frame: FrameType | None) -> None:
        self._raised = True
        signal.signal(number, signal.SIG_DFL)
        if self._pausing:  # nothing but the wait is interrupted here
            self.check()
