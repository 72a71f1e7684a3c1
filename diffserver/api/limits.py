"""Limits: how large a request may be, and how many polls are answered at once."""

from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffserver.errors import Busy


class BodyLimit:
    """ASGI middleware: refuses a body of more than `limit` bytes, declared or sent, before it is all read.

    Below the path `large`, where files are uploaded, `large_limit` holds instead.
    """

    def __init__(self, app: ASGIApp, limit: int, large: str, large_limit: int) -> None:
        self._app, self._limit = app, limit
        self._large, self._large_limit = large, large_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        received = 0
        limit = self._large_limit if scope.get("path", "").startswith(self._large) else self._limit

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the body is larger than {limit:,} bytes")
            return message

        if scope["type"] == "http" and _declared(scope) > limit:
            # Raised where the body is read, so that it is answered like any other problem.
            received = limit
        await self._app(scope, counted, send)


class PollGate:
    """Counts the polls under way; one too many is told to come back, which is no failure."""

    def __init__(self, limit: int, retry_after: int) -> None:
        self._limit, self._retry_after = limit, retry_after
        self._active = 0

    @classmethod
    async def admit(cls, request: Request) -> AsyncIterator[None]:
        """A dependency; on the event loop, so that a shed poll costs no thread and no query. Raises Busy."""
        gate: PollGate = request.app.state.gate
        if gate._active >= gate._limit:
            raise Busy(f"{gate._limit} polls are being answered already", gate._retry_after)
        gate._active += 1
        try:
            yield
        finally:
            gate._active -= 1


def _declared(scope: Scope) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"0").decode("latin-1")
    return int(text) if text.isascii() and text.isdigit() else 0
