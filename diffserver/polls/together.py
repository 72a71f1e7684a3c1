"""Writes that come at the same time share a transaction, and each is answered after its commit.

Whatever comes while one transaction is under way is in the next one: nobody waits for company. What fails together
is tried again one by one, so that nobody fails for another's sake.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diffserver.errors import Busy
from diffserver.storage.database import writing

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 200
"""Items of one transaction."""

MOST_WAITING = 1000


class Together(Generic[Item, Result]):
    """One kind of write: of items to their results, of which each may be an error, in a session of its own."""

    def __init__(
        self,
        engine: Engine,
        write: Callable[[Session, Sequence[Item]], Sequence[Result | Exception]],
        come_back: Callable[[], int],
    ) -> None:
        """Write with `write`; `come_back` says in how many seconds one may come back who finds too many waiting."""
        self._engine, self._write, self._come_back = engine, write, come_back
        self._lock, self._writer = threading.Lock(), ThreadPoolExecutor(1)
        self._waiting: list[tuple[Item, Future[Result]]] = []
        self._running = False

    async def add(self, item: Item) -> Result:
        """Write an item, and return its result once it is committed; raises Busy, and whatever the write raises."""
        future: Future[Result] = Future()
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise Busy(f"{len(self._waiting)} requests wait to write already", self._come_back())
            self._waiting.append((item, future))
            begins, self._running = not self._running, True
        if begins:
            self._writer.submit(self._run)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _run(self) -> None:
        while batch := self._next():
            results = self._written([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _next(self) -> list[tuple[Item, Future[Result]]]:
        with self._lock:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._running = bool(batch)
            return batch

    def _written(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            with writing(self._engine) as session:
                return self._write(session, items)
        except OperationalError as error:  # the database is away or locked, for all of them
            return [error] * len(items)
        except Exception as error:
            return [error] if len(items) == 1 else [self._written([item])[0] for item in items]
