"""A connection's transport as uvicorn sees it: to close it is the protocol's affair, which may have to wait."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any


class Transport:
    """A transport that writes out what is left before it closes, within a time."""

    def __init__(self, raw: asyncio.Transport, close: Callable[[], None]) -> None:
        self._raw, self._close = raw, close
        self.ending = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def write(self, data: bytes) -> None:
        """Send, unless the end is announced."""
        if not self.ending:
            self._raw.write(data)

    def close(self) -> None:
        """Announce the end, once; the rest is the protocol's."""
        if not self.is_closing():
            self.ending = True
            self._close()

    def is_closing(self) -> bool:
        """Tell whether either side has announced the end."""
        return self.ending or self._raw.is_closing()


def unsent(raw: asyncio.Transport) -> int:
    """Bytes that the peer has not taken yet, those with the operating system included where it tells."""
    try:
        queued = fcntl.ioctl(raw.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it may be closed already
        return raw.get_write_buffer_size()
    return raw.get_write_buffer_size() + int(struct.unpack("=i", queued)[0])
