"""Notes of devices that were seen and said nothing new, written together.

A process that is killed loses those that it has not written; all that they tell is when a device was seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine

from diffserver.catalog import devices
from diffserver.catalog.devices import SEEN_FRESH, Seen
from diffserver.storage.database import writing

WRITE_SECONDS = 1.0
"""How often they are written."""

MOST = 5000
"""Notes of one transaction."""


class Notes:
    """The devices that were seen since the last time, each at most once in SEEN_FRESH."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock, self._lock = engine, clock, threading.Lock()
        self._waiting: dict[str, Seen] = {}
        self._noted: set[str] = set()
        self._since = clock()

    def lacks(self, device: str) -> bool:
        """Tell whether that a device is seen now is worth a note."""
        return device not in self._noted

    def add(self, seen: Seen) -> None:
        """Note that a device was seen."""
        with self._lock:
            self._noted.add(seen.device)
            self._waiting[seen.device] = seen

    def write(self) -> None:
        """Write down what waits; what the database does not take waits on. Raises OperationalError."""
        with self._lock:
            waiting = list(self._waiting.values())
            if self._clock() - self._since >= SEEN_FRESH.total_seconds():
                self._noted, self._since = set(), self._clock()
        for start in range(0, len(waiting), MOST):
            part = waiting[start : start + MOST]
            with writing(self._engine) as session:
                devices.see(session, part)
            with self._lock:
                for seen in part:
                    if self._waiting.get(seen.device) is seen:
                        del self._waiting[seen.device]
