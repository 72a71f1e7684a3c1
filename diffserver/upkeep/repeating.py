"""An act that a server repeats while it runs, in a thread of its own, whatever fails meanwhile.

That one replica at a time does it is left to `leases`, and to the act.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from diffserver.errors import DiffServerError
from diffserver.logs import Log


class Repeating:
    """A thread that acts at once, and again after so many seconds; `failed` is what the log says where it cannot."""

    def __init__(
        self,
        name: str,
        act: Callable[[], None],
        seconds: float,
        log: Log,
        failed: str,
        awake: threading.Event | None = None,
    ) -> None:
        """Act as soon as `awake` is set, too."""
        self._act, self._seconds, self._log, self._failed = act, seconds, log, failed
        self._stopped, self._awake = threading.Event(), awake or threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after what it is at."""
        self._stopped.set()
        self._awake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._awake.clear()
            if self._stopped.is_set():
                return
            try:
                self._act()
            except (SQLAlchemyError, DiffServerError) as error:  # the database or a KMS may come back
                self._log.warning(self._failed, error=str(error))
            self._awake.wait(self._seconds)
