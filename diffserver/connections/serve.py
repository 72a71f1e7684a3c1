"""Serving an application on a socket, within the limits of `protocol`, until a signal ends it."""

import asyncio
import errno
import gc
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from diffserver.connections.limits import limits_of
from diffserver.connections.protocol import limited
from diffserver.connections.seldom import Seldom
from diffserver.drain import Drain
from diffserver.logs import uvicorn_log_config
from diffserver.settings import Settings

BURST = 16
"""Connections taken from the operating system before those before them are counted."""
PAUSE_SECONDS = 0.5
"""After an accept that failed for want of files or memory; asyncio tries again after a second."""
SHUTDOWN_SECONDS = 8
"""What requests under way get to end in: less than containers are given before they are killed."""
SWITCH_SECONDS = 0.001
"""After so long a thread that computes lets another one go on: the event loop must not wait long for others."""
WANT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

refused = Seldom("no connection can be accepted")


def serve(app: ASGIApp, settings: Settings, drain: Drain | None = None) -> None:
    """Serve until SIGINT, or SIGTERM and what `drain` asks for; ends the process if the address can't be had."""
    drain = drain or Drain()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = limits_of(settings, files if files != resource.RLIM_INFINITY else sys.maxsize)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="asyncio",
        http=limited(limits, drain),
        ws="none",
        log_config=uvicorn_log_config(),
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what is there now stays; to look through it again and again would hold up requests
    with suppress(KeyboardInterrupt):
        _Server(config, drain).run([Listener(config.bind_socket())])


class Listener(socket.socket):
    """A listening socket that gives a few connections at a time, so that their number is known before more come."""

    def __init__(self, bound: socket.socket) -> None:
        super().__init__(fileno=bound.detach())
        self.set_inheritable(False)
        self._left, self._paused_until = BURST, 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection; to asyncio, BlockingIOError means that none is there at this moment."""
        if not self._left or time.monotonic() < self._paused_until:
            raise BlockingIOError
        if self._left == BURST:
            asyncio.get_running_loop().call_soon(self._refill)
        try:
            accepted = super().accept()
        except OSError as error:
            if error.errno in WANT:
                self._paused_until = time.monotonic() + PAUSE_SECONDS
            raise
        self._left -= 1
        return accepted

    def _refill(self) -> None:
        self._left = BURST


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first SIGTERM; end at another signal."""
        if sig != signal.SIGTERM or not self._drain.begin():
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """End once the drain is over."""
        if self._drain.over and not self.should_exit:
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_on_error)
        await super().startup(sockets)


def _on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of an accept that failed in one line a minute; asyncio would give a traceback each time."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in WANT:
        refused.tell(error.strerror)
    else:
        loop.default_exception_handler(context)
