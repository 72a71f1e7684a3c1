"""A value that costs something to make, kept for some seconds for all threads that ask for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """A value that one thread at a time makes again when it is old; the others take the old one meanwhile."""

    def __init__(self, make: Callable[[], Value], seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._lock = threading.Lock()
        self._made: tuple[float, Value] | None = None

    def get(self) -> Value:
        """The value; only the very first has to be waited for."""
        made = self._made
        if made is not None and time.monotonic() - made[0] <= self._seconds:
            return made[1]
        if not self._lock.acquire(blocking=made is None) and made is not None:
            return made[1]
        try:
            if self._made is made:
                self._made = time.monotonic(), self._make()
            assert self._made is not None
            return self._made[1]
        finally:
            self._lock.release()
