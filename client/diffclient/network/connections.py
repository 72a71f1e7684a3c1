"""Connections that keep pace: every wait for the network ends in time, and a signal ends it at once.

urllib3's own timeouts are limits on silence, and its look-up of names cannot be interrupted. When time is over is
`pace`'s affair.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from diffclient.errors import NoCertificates
from diffclient.network.pace import Pace

T = TypeVar("T")
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class PacedSocket(socket.socket):
    """A socket that waits for as long as its pace allows."""

    pace: Pace

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive; raises TooSlow."""
        return self._in_time(super().recv_into, *arguments, **options)

    def recv(self, *arguments: Any, **options: Any) -> bytes:
        """Receive; raises TooSlow."""
        return self._in_time(super().recv, *arguments, **options)

    def send(self, *arguments: Any, **options: Any) -> int:
        """Send; raises TooSlow."""
        return self._in_time(super().send, *arguments, **options)

    def sendall(self, *arguments: Any, **options: Any) -> None:
        """Send all; raises TooSlow."""
        return self._in_time(super().sendall, *arguments, **options)

    def _in_time(self, act: Callable[..., T], *arguments: Any, **options: Any) -> T:
        self.settimeout(self.pace.left())
        try:
            return act(*arguments, **options)
        except TimeoutError as error:
            raise self.pace.too_slow() from error


class PacedTlsSocket(PacedSocket, ssl.SSLSocket):
    """The same over TLS; the handshake has the time that connecting has."""


class PacedConnection(HTTPConnection):
    """A connection over a paced socket."""

    socket_class: type[PacedSocket]

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            return _connect(self.socket_class, look_up(self._dns_host, self.port, seconds), seconds)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:
            raise LocationParseError(self.host) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host}: no answer in {seconds:g} s") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error


class PacedTlsConnection(PacedConnection, HTTPSConnection):
    """The same over TLS."""


def look_up(host: str, port: int, seconds: float | None) -> Sequence[Address]:
    """Return the addresses of a name; raises socket.gaierror, UnicodeError, TimeoutError.

    In a thread of its own, since the system's look-up heeds neither signals nor time; one that hangs is left behind.
    """
    answer: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=ask, name="look up a host", daemon=True).start()
    try:
        answered = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answered, Exception):
        raise answered
    return answered


def _connect(kind: type[PacedSocket], addresses: Sequence[Address], seconds: float | None) -> PacedSocket:
    """Return a connection to the first address that answers; raises what the last one did."""
    failure = OSError("the name has no address")
    for family, type_, protocol, _, address in addresses:
        connection = kind(family, type_, protocol)
        try:
            left = kind.pace.left()
            connection.settimeout(left if seconds is None else min(left, seconds))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
    raise failure


def paced(pools: urllib3.PoolManager, pace: Pace) -> urllib3.PoolManager:
    """Let all connections of `pools` keep this pace."""

    class Socket(PacedSocket):
        pass

    class Plain(PacedConnection):
        socket_class = Socket

    class Secure(PacedTlsConnection):
        socket_class = Socket

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    Socket.pace = pace
    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pools


def tls_context(ca_file: Path | None, pace: Pace) -> ssl.SSLContext:
    """Return what verifies certificates: by the system's authorities, and those in `ca_file` (PEM) beside them.

    Raises NoCertificates.
    """

    class Socket(PacedTlsSocket):
        pass

    Socket.pace = pace
    context = create_urllib3_context()
    context.load_default_certs()
    context.sslsocket_class = Socket
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise NoCertificates(f"{ca_file} holds no certificates (PEM): {error.strerror or error}") from error
    return context
