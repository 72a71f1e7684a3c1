"""An update's early end, at any point: a signal that asks to stop, or the end of its time.

Both are raised in the main thread, also out of a wait for the network, a disk or a command. The store survives a cut
at every one of its operations, so it survives this; only the switch is left to end, since what runs has to be told.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from diffclient.errors import Stopped, TookTooLong

AGAIN = 0.5
"""Seconds after which someone who asked to stop is heeded again, where other code swallowed what was raised."""


class StopSign:
    """SIGTERM and Ctrl-C turned into Stopped, an update's end of time into TookTooLong; a second signal kills."""

    def __init__(self) -> None:
        self._asked = False
        self._seconds = 0.0
        self._late = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Heed the signals inside."""
        heeded = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGALRM: self._ring}
        before = {number: signal.signal(number, handler) for number, handler in heeded.items()}
        alarm = signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.setitimer(signal.ITIMER_REAL, *alarm)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Raise TookTooLong unless what is inside ends in time; 0: any time will do."""
        self._seconds, self._late = seconds, False
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            self.no_more_hurry()

    def no_more_hurry(self) -> None:
        """Let what is under way take its time from now on."""
        self._late = False
        if not self._asked:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def check(self) -> None:
        """Raise Stopped if someone asked to stop, TookTooLong if time is over."""
        if self._asked:
            raise Stopped("stopped as asked; nothing was left half done")
        if self._late:
            raise TookTooLong(
                f"not done in {self._seconds:g} s: what arrived is kept, and the next update goes on there; "
                "`diffclient policy --max-seconds` gives more"
            )

    def pause(self, seconds: float) -> None:
        """Wait, or raise Stopped at once when someone asks to stop."""
        self.check()
        time.sleep(seconds)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        self.check()

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        self._late = True
        self.check()
