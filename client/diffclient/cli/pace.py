"""How often something long tells how far it is where no one watches a terminal: in a file, a pipe or a journal."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 10.0
"""Seconds between two lines; what ends sooner needs none."""


class Pace:
    """Says when the next line is due: `every` so many seconds, first after as many."""

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock, self._began = every, clock, clock()
        self._next = self._began + every
        self.told = False
        """Whether a line was due before."""

    def due(self) -> bool:
        """Return whether a line is due now; if so, the next one is after as many seconds again."""
        if (now := self._clock()) < self._next:
            return False
        self.told, self._next = True, now + self._every
        return True

    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock() - self._began
