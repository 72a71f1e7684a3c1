"""A server that answers honestly in substance, and keeps its devices waiting in a chosen way."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

from tests.client.scripted_server import Reply, ScriptedServer, Seen

Send = Callable[[bytes], None]
Way = Callable[[Reply, Send, Callable[[], None]], None]
"""Sends a reply; the last argument waits a moment, and ends the connection when the server closes."""

MOMENT = 0.05
BOUND = 10_000
"""Pieces that are sent at most: no test hangs for ever."""


class DripServer:
    """Stands before a scripted server; what is asked below `path` is sent in a `way`."""

    def __init__(self, behind: ScriptedServer) -> None:
        self.path = "nothing"
        self.way: Way = whole
        self._behind = behind
        self._closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Vanish."""
        self._closed.set()
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as asked, contextlib.suppress(OSError):
            while first := asked.readline().split():
                request = _read(first, asked)
                self._behind.seen.append(request)
                way = self.way if self.path in request.path else whole
                way(self._behind.reply(request), connection.sendall, self._wait)

    def _wait(self) -> None:
        if self._closed.wait(MOMENT):
            raise OSError("closed")


def _read(first: list[bytes], lines: Iterator[bytes]) -> Seen:
    headers = {}
    for line in iter(lambda: next(lines).strip(), b""):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    body = json.loads(lines.read(length)) if length else None  # type: ignore[attr-defined]  # a file
    return Seen(first[0].decode(), first[1].decode(), headers, body)


def head(reply: Reply, **more: str) -> bytes:
    headers = {"Content-Length": str(len(reply.body))} | reply.headers | more
    lines = [f"HTTP/1.1 {reply.status} Something", *(f"{name}: {value}" for name, value in headers.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """As it should be."""
    send(head(reply) + reply.body)


def silence(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """Nothing at all."""
    for _ in range(BOUND):
        wait()


def status_line(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """A byte of the head now and then."""
    for byte in head(reply):
        send(bytes([byte]))
        wait()


def header(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """One header that never ends."""
    send(b"HTTP/1.1 200 Something\r\nX-Endless: ")
    for _ in range(BOUND):
        send(b"x")
        wait()


def body(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """A byte of the body now and then."""
    send(head(reply))
    for byte in reply.body:
        send(bytes([byte]))
        wait()


def half_a_body(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """Half of the body at once, and the rest now and then."""
    half = len(reply.body) // 2
    send(head(reply) + reply.body[:half])
    for byte in reply.body[half:]:
        send(bytes([byte]))
        wait()


def chunks(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """A chunk of a byte now and then."""
    send(head(reply, **{"Content-Length": "", "Transfer-Encoding": "chunked"}))
    for byte in reply.body:
        send(b"1\r\n" + bytes([byte]) + b"\r\n")
        wait()


def chunk_extension(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """The length of a chunk that never comes to its end."""
    send(head(reply, **{"Content-Length": "", "Transfer-Encoding": "chunked"}) + b"1;x=")
    for _ in range(BOUND):
        send(b"x")
        wait()


def trailers(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """The whole body, and then trailers without end, as fast as they are taken."""
    send(head(reply, **{"Content-Length": "", "Transfer-Encoding": "chunked"}))
    send(b"%x\r\n%b\r\n0\r\n" % (len(reply.body), reply.body) if reply.body else b"0\r\n")
    for _ in range(100 * BOUND):
        send(b"X-Trailer: again\r\n" * 100)


def error_body(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """A problem, a byte now and then."""
    body(Reply(500, b"x" * 1000, {"Content-Type": "application/problem+json"}), send, wait)


def continued(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """Continue, said now and then."""
    for _ in range(BOUND):
        send(b"HTTP/1.1 100 Continue\r\n\r\n")
        wait()


def continued_fast(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """Continue, said as fast as it is taken."""
    for _ in range(100 * BOUND):
        send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def redirect(reply: Reply, send: Send, wait: Callable[[], None]) -> None:
    """A redirect whose body never ends, as fast as it is taken."""
    send(b"HTTP/1.1 302 Found\r\nLocation: /v1/blobs/again\r\nContent-Length: 99999999999\r\n\r\n")
    for _ in range(100 * BOUND):
        send(bytes(65536))


WAYS: tuple[Way, ...] = (
    silence, status_line, header, body, half_a_body, chunks, chunk_extension, trailers, error_body, continued,
    continued_fast,
)  # fmt: skip
