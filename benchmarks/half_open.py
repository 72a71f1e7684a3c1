"""Connections that never send a whole request, held open beside a benchmark."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

HALF = b"POST /v1/device/poll HTTP/1.1\r\nHost: soak\r\nContent-Length: 100\r\n"


class HalfOpen:
    """So many connections, each opened again when the server ends it."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count = port, count
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self.opened = 0
        """How many were opened so far."""

    @contextlib.contextmanager
    def held(self) -> Iterator[HalfOpen]:
        """Hold them for as long as the block lasts."""
        thread = threading.Thread(target=self._hold)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _hold(self) -> None:
        while not self._stop.wait(0.05):
            # A few at a time: what is measured is the server, not the queue of its socket.
            for _ in range(min(20, self._count - len(self._selector.get_map()))):
                self._open()
            for key, _ in self._selector.select(0):
                self._selector.unregister(key.fileobj)
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", self._port), 1)
            connection.sendall(HALF)
            self._selector.register(connection, selectors.EVENT_READ)
            self.opened += 1
