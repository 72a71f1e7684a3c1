"""A forward proxy on the loopback: plain requests are passed on, TLS is tunnelled; it notes what it was asked for."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class ForwardProxy:
    """Serves whoever knows `login` ("name:password"), or anybody."""

    def __init__(self, login: str | None = None) -> None:
        self.asked: list[str] = []
        self.tunnels_hang = False
        self._login = login and f"Basic {base64.b64encode(login.encode()).decode()}"
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._httpd.daemon_threads = True
        self.address = f"127.0.0.1:{self._httpd.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Vanish."""
        self._httpd.shutdown()
        self._httpd.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on()

            def do_POST(self) -> None:
                self._pass_on()

            def do_CONNECT(self) -> None:
                if self._admitted():
                    host, _, port = self.path.rpartition(":")
                    while proxy.tunnels_hang:
                        self.connection.recv(1)
                    with socket.create_connection((host, int(port))) as there:
                        self.send_response(200)
                        self.end_headers()
                        _join(self.connection, there)

            def log_message(self, *_: object) -> None:
                pass

            def _admitted(self) -> bool:
                proxy.asked.append(f"{self.command} {self.path}")
                if proxy._login in (None, self.headers.get("Proxy-Authorization")):
                    return True
                self.send_error(407)
                return False

            def _pass_on(self) -> None:
                if not self._admitted():
                    return
                parts = urlsplit(self.path)
                there = HTTPConnection(parts.netloc)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name != "Proxy-Authorization"}
                there.request(self.command, parts.path, body, headers)
                answer = there.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        return Handler


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on between two sockets until one of them ends."""
    with contextlib.suppress(OSError):
        while True:
            for ready in select.select([one, other], [], [], 30)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (other if ready is one else one).sendall(data)
