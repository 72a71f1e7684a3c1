"""Limits: how large a request may be, and how many polls and writes are at work at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from math import ceil

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffserver.api.problems import refusal
from diffserver.errors import Busy

WRITERS = 8
"""Requests that write at once: the database lets one after the other, and each holds a thread meanwhile."""
WAITING_WRITERS = 64
"""Requests that wait, without a thread, to be one of them."""

LONGEST_SECONDS = 3600.0
"""Nobody is told to stay away for longer."""


class BodyLimit:
    """ASGI middleware: refuses a body of more than `limit` bytes, declared or sent, before it is all read.

    Below the path `large`, where files are uploaded, `large_limit` holds instead. What is declared is refused before
    a byte of it is asked for, and so is a body whose length is told in two ways (RFC 9112, section 6.1).
    """

    def __init__(self, app: ASGIApp, limit: int, large: str, large_limit: int) -> None:
        self._app, self._limit = app, limit
        self._large, self._large_limit = large, large_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._large_limit if scope["path"].startswith(self._large) else self._limit
        headers = dict(scope["headers"])
        if headers.keys() >= {b"content-length", b"transfer-encoding"}:
            both = "the body's length is told by Content-Length and by Transfer-Encoding"
            await refusal(scope, 400, both, {"Connection": "close"})(scope, receive, send)
        elif _declared(headers) > limit:
            await refusal(scope, 413, _too_large(limit))(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, limit), send)


class Returns:
    """The moments at which those who are refused may come back: each takes the next one, so many a second.

    So the wait grows with the number that were refused lately, and they do not come back as one crowd.
    """

    def __init__(self, each_second: int, least: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Let nobody come back before `least` seconds have passed."""
        self._apart, self._least, self._clock = 1 / each_second, least, clock
        self._latest = clock()

    def seconds(self) -> int:
        """Take the next moment; return how far it is."""
        now = self._clock()
        self._latest = min(max(self._latest, now + self._least) + self._apart, now + LONGEST_SECONDS)
        return ceil(self._latest - now)


class PollGate:
    """Counts the polls under way; one too many is told to come back, which is no failure.

    Each second as many may come back as may be under way: where so many are, a poll takes about a second.
    """

    def __init__(self, limit: int, least_wait: float) -> None:
        self._limit, self._returns = limit, Returns(max(1, limit), least_wait)
        self._active = 0

    @classmethod
    async def admit(cls, request: Request) -> AsyncIterator[None]:
        """A dependency; on the event loop, so that a shed poll costs no thread and no query. Raises Busy."""
        gate: PollGate = request.app.state.gate
        if gate._active >= gate._limit:
            raise Busy(f"{gate._limit} polls are being answered already", gate._returns.seconds())
        gate._active += 1
        try:
            yield
        finally:
            gate._active -= 1


class WriteGate:
    """Lets few requests write at a time; the others wait briefly, without a thread that reads may need."""

    def __init__(self, seconds: float, least_wait: float) -> None:
        self._seconds, self._returns = seconds, Returns(WRITERS, least_wait)
        self._slots, self._waiting = asyncio.Semaphore(WRITERS), 0

    @classmethod
    async def admit(cls, request: Request) -> AsyncIterator[None]:
        """A dependency of what writes, on the event loop. Raises Busy."""
        gate: WriteGate = request.app.state.writes
        await gate._enter()
        try:
            yield
        finally:
            gate._slots.release()

    async def _enter(self) -> None:
        if self._waiting >= WAITING_WRITERS:
            raise Busy(f"{self._waiting} requests wait to write already", self._returns.seconds())
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Busy("others have been writing for too long", self._returns.seconds()) from error
        finally:
            self._waiting -= 1


def _counted(receive: Receive, limit: int) -> Receive:
    """Receive no more than `limit` bytes of a body; what is too much is a problem where the body is read."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit:,} bytes"


def _declared(headers: Mapping[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0").decode("latin-1")
    return int(text) if text.isascii() and text.isdigit() else 0
