"""Logs: one line of JSON for each event and each request, on one stream.

A request's line names the caller, the route and the status, and never a token, a query or a body. Polls that find
nothing new are counted, and have no line unless that is asked for: a million devices that poll every half an hour
would write 12 GB of them a day.
"""

import contextlib
import io
import json
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TextIO, cast

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Log = structlog.typing.FilteringBoundLogger
OnError = Callable[[Scope, Exception], Response]

_ENCODER = json.JSONEncoder(default=repr)
"""One for all lines: to make one takes longer than a line."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class _Lossy(io.TextIOBase):
    """A stream that drops what it can't write: a full disk or a reader that is gone costs lines, never work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def make_log(stream: TextIO | None = None) -> Log:
    """Return a logger that writes JSON lines to `stream` (standard output by default), each at once, with its end."""
    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, _Lossy(stream or sys.stdout))),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=lambda event, **_: _ENCODER.encode(event)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return log


def uvicorn_log_config() -> dict[str, Any]:
    """Return a `log_config` for uvicorn: its messages in the same form, without a second line for each request."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        "foreign_pre_chain": [
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "loggers": {
            "uvicorn": {"handlers": ["json"], "level": "INFO", "propagate": False},
            "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": False},
        },
    }


class RequestLog:
    """ASGI middleware that gives each request an id, logs it, and turns unhandled errors into responses."""

    def __init__(self, app: ASGIApp, log: Log, on_error: OnError, idle_polls: bool) -> None:
        self._app, self._log, self._on_error, self._idle_polls = app, log, on_error, idle_polls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, state = time.monotonic(), scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        sender = _ResponseSender(send, state["request_id"])
        try:
            await self._app(scope, receive, sender)
        except Exception as error:
            self._log.error("failed", request_id=state["request_id"], exc_info=error)
            if sender.status is not None:
                raise
            await self._on_error(scope, error)(scope, receive, sender)
        finally:
            if self._idle_polls or not state.get("idle"):
                spent = round((time.monotonic() - start) * 1000, 1)
                self._log.info("request", ms=spent, **_request_fields(scope, sender))


class _ResponseSender:
    """A `send` that adds the request's id to the response's headers and remembers its status."""

    def __init__(self, send: Callable[[Message], Awaitable[None]], request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._request_id.encode())]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    header = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return header if _REQUEST_ID.fullmatch(header) else f"{random.getrandbits(64):016x}"


def _request_fields(scope: Scope, sender: _ResponseSender) -> dict[str, Any]:
    route, state = scope.get("route"), scope["state"]
    fields = {name: state[name] for name in ("request_id", "token_id", "device_id", "note") if name in state}
    # The template, never the path: names and digests would make every line its own kind.
    path = getattr(route, "path", None) or "unknown"
    return fields | {"method": scope["method"], "path": path, "status": sender.status or 0}
