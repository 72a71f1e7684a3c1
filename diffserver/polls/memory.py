"""What a process remembers so that a poll needs no query, for as long as it hears of changes.

It hears of those of other processes about once a second, and of its own at once. While it has heard of none for
LONGEST_SECONDS, as where the database is away, nothing is remembered, and every poll is answered from the database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from diffserver.polls.credentials import Credentials
from diffserver.rollouts.book import Book
from diffserver.storage import changes
from diffserver.storage.changes import News
from diffserver.storage.database import reading
from diffserver.trust.metadata_rows import Standing

HEAR_SECONDS = 1.0
"""How often changes are read."""

LONGEST_SECONDS = 5.0
"""Who has heard nothing for so long remembers nothing."""

MOST_NEWS = 1000
"""Whoever has more of them to read forgets everything."""

MOST_FILES, LONGEST_FILE = 256, 1 << 16
"""Files of signed metadata, and their bytes, that are remembered; larger ones are fetched seldom."""


@dataclass
class Metadata:
    """What was read of signed metadata: files that never change, by name, and what stands."""

    standing: Standing | None
    files: dict[str, bytes]

    def keep(self, name: str, data: bytes) -> None:
        """Remember a small file."""
        if len(data) <= LONGEST_FILE and len(self.files) < MOST_FILES:
            self.files[name] = data


class Memory:
    """Devices by their tokens, a book for each model, and signed metadata.

    Books and metadata are fetched before what they are filled from is read: one that is thrown away meanwhile is filled
    for nobody.
    """

    def __init__(self, devices: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.credentials = Credentials(devices)
        self._clock, self._lock = clock, threading.Lock()
        self._books: dict[str, Book] = {}
        self._metadata = Metadata(None, {})
        self._number: int | None = None
        self.outdated = threading.Event()
        self._committed, self._heard, self._heard_at = 0, -1, float("-inf")

    def is_fresh(self) -> bool:
        """Tell whether what is remembered may be used."""
        return self._heard == self._committed and self._clock() - self._heard_at < LONGEST_SECONDS

    def book(self, model: str) -> Book:
        """Return the book of a model; an empty one, which is not kept, where none may be used."""
        return self._books.setdefault(model, Book(model)) if self.is_fresh() else Book(model)

    def metadata(self) -> Metadata:
        """Return what is remembered of signed metadata, to be read and filled."""
        return self._metadata if self.is_fresh() else Metadata(None, {})

    def outdate(self) -> None:
        """Use nothing until changes were read again: this process has made one."""
        with self._lock:
            self._committed += 1
        self.outdated.set()

    def hear(self, engine: Engine) -> None:
        """Read what changed, and forget it."""
        began, committed = self._clock(), self._committed
        with reading(engine) as session:
            # From the last one on that is known: where that is gone, too many came, or this is another database now.
            news = changes.read(session, self._number - 1, MOST_NEWS) if self._number else []
            if news and news[0][0] == self._number and len(news) < MOST_NEWS:
                self._number = news[-1][0]
                self._forget(one for _, one in news[1:])
            elif (latest := changes.latest(session)) or self._number != latest:
                self._number = latest
                self.forget()
        self._heard, self._heard_at = committed, began

    def forget(self) -> None:
        """Forget everything."""
        self._forget(News(topic, None) for topic in changes.TOPICS)

    def _forget(self, news: Iterable[News]) -> None:
        for one in news:
            match one:
                case News("token" | "device", key):
                    self.credentials.forget(key)
                case News("model", None):
                    self._books = {}
                case News("model", str(key)):
                    self._books.pop(key, None)
                case News("metadata", _):
                    self._metadata = Metadata(None, {})
