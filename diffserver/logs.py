"""Logs: one line of JSON for each event and each request, on one stream.

A request's line says who asked for what and how it ended, and never a token, a query or a body.
"""

import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Log = structlog.typing.FilteringBoundLogger
OnError = Callable[[Scope, Exception], Response]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def make_log(stream: TextIO | None = None) -> Log:
    """A logger of its own that writes JSON lines to `stream` (standard output by default)."""
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(cast(TextIO, _Lossy(stream or sys.stdout))),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return log


class _Lossy:
    """A stream that loses lines where its disk is full or its reader is gone: no answer fails for want of a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if that can be done."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with suppress(OSError):
            self._stream.flush()


def uvicorn_log_config() -> dict[str, Any]:
    """A `log_config` for uvicorn: its own messages in the same form, and no second line for each request."""
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
    """ASGI middleware: gives each request an id, logs it, and turns what nobody caught into a response."""

    def __init__(self, app: ASGIApp, log: Log, on_error: OnError) -> None:
        self._app, self._log, self._on_error = app, log, on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, state = time.monotonic(), scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        sending = _Sending(send, state["request_id"])
        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            self._log.error("failed", request_id=state["request_id"], exc_info=error)
            if sending.status is not None:
                raise
            await self._on_error(scope, error)(scope, receive, sending)
        finally:
            self._log.info("request", ms=round((time.monotonic() - began) * 1000, 1), **_facts(scope, sending))


class _Sending:
    """Passes a response on, adds the request's id to its headers, and remembers its status."""

    def __init__(self, send: Callable[[Message], Awaitable[None]], request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._request_id.encode())]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _facts(scope: Scope, sending: _Sending) -> dict[str, Any]:
    route, state = scope.get("route"), scope["state"]
    facts = {name: state[name] for name in ("request_id", "token_id", "device_id", "note") if name in state}
    # The template, never the path: names and digests would make every line its own kind.
    path = getattr(route, "path", None) or "unknown"
    return facts | {"method": scope["method"], "path": path, "status": sending.status or 0}
