"""The log of a training, as its worker says it: on the worker's own log at once, in the database in batches.

A database that is away costs a training nothing: lines wait for it, up to a number.
"""

import re
import threading
import traceback
from time import monotonic
from typing import Any

from sqlalchemy import Engine

from diffserver.catalog.jobs import lines
from diffserver.catalog.jobs.lines import NewLine
from diffserver.logs import Log
from diffserver.storage.column_types import utc_now

FLUSH_SECONDS = 1.0
PROGRESS_SECONDS = 60.0
"""The time after which progress is told again while nothing but its numbers changes."""

WAITING = 2000
"""The most lines that wait for the database; later ones are dropped."""

BATCH = 500

_NUMBERS = re.compile(r"\b\d[\d.,%]*(?=[\s:;)]|$)")
"""Numbers that stand alone; those in names of domains and tasks tell phases apart."""


class Lines:
    """A worker's lines on their way to the database."""

    def __init__(self, engine: Engine, worker: str) -> None:
        self._engine, self._worker = engine, worker
        self._waiting: list[NewLine] = []
        self._flushing = threading.Lock()

    def add(self, training_id: int, level: str, text: str) -> None:
        """Take a line, in no time."""
        if len(self._waiting) < WAITING:
            self._waiting.append(NewLine(training_id, utc_now(), level, self._worker, text))

    def flush(self) -> None:
        """Write what waits; raises SQLAlchemyError, after which it waits on."""
        with self._flushing:
            while batch := self._waiting[:BATCH]:
                lines.append(self._engine, batch)
                del self._waiting[: len(batch)]


class JobLog:
    """What is said of one training."""

    def __init__(self, log: Log, lines_: Lines, training_id: int) -> None:
        self._log, self._lines, self._id = log, lines_, training_id
        self._phase, self._next = "", 0.0

    def info(self, event: str, **facts: Any) -> None:
        """Say what happens."""
        self._log.info(event, **facts)
        self._say("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Say what goes wrong."""
        self._log.warning(event, **facts)
        self._say("warning", event, facts)

    def exception(self, event: str) -> None:
        """Say what nobody expected, with the traceback of the exception that is handled."""
        self._log.exception(event)
        self._say("error", event, {})
        for line in traceback.format_exc().splitlines():
            self._lines.add(self._id, "error", line)

    def progress(self, message: str) -> None:
        """Say how far it is, where a phase begins, and now and then within one."""
        phase = _NUMBERS.sub("#", message)
        if phase != self._phase or monotonic() >= self._next:
            self._phase, self._next = phase, monotonic() + PROGRESS_SECONDS
            self._lines.add(self._id, "info", message)

    def _say(self, level: str, event: str, facts: dict[str, Any]) -> None:
        told = ", ".join(f"{name}={value}" for name, value in facts.items() if value not in (None, "", [], {}))
        self._lines.add(self._id, level, f"{event}: {told}" if told else event)
