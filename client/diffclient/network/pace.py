"""The pace that an answer must keep: a least number of bytes in every window of time, and all of it in a given time.

A limit on silence alone would let a server hold a device for ever with a byte now and then. Who reads the bytes, and
what becomes of those that came, is left to others.
"""

from __future__ import annotations

import math
import time

from diffclient.errors import TooSlow


class Pace:
    """The pace of one request at a time: `least` bytes of a body in each `window` of seconds.

    Only bodies count: a status line, headers and whatever else precedes a body has one window in all.
    """

    def __init__(self, window: float, least: int) -> None:
        self._window = window
        self._least = least
        self.begin("nothing")

    def begin(self, url: str, seconds: float = math.inf) -> None:
        """Begin a request that may take so many seconds in all."""
        self._url = url
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._next_window()

    def count(self, received: int) -> None:
        """Take note of bytes of the body; enough of them begin the next window."""
        self._received += received
        if self._received >= self._least:
            self._next_window()

    def left(self) -> float:
        """Return the seconds that may pass until more has to be here; raises TooSlow where none are left."""
        left = min(self._window_ends, self._ends) - time.monotonic()
        if left <= 0:
            raise self.too_slow()
        return left

    def too_slow(self) -> TooSlow:
        """Return the error of a server that does not keep pace."""
        if self._ends <= self._window_ends:
            fault = f"no whole answer in {self._seconds:g} s"
        else:
            fault = f"{self._received:,} bytes of the answer in {self._window:g} s, {self._least:,} are the least"
        return TooSlow(f"{self._url} is too slow: {fault}; check the network, or see `diffclient policy --least-speed`")

    def _next_window(self) -> None:
        self._received = 0
        self._window_ends = time.monotonic() + self._window
