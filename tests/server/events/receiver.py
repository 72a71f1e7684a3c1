"""A receiver of webhooks: a real HTTP server that checks signatures with the public library and answers as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Verifier

from diffserver.settings import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What came, each message by its id and its verified body; `answers` are the next statuses, then 204."""

    url: str
    ids: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    silent_for: float = 0.0
    answered: int = 0
    held: bool = False
    """Whether it answers nothing for as long as this is set, and some seconds at most."""

    @property
    def webhook(self) -> Webhook:
        return Webhook(self.url, SECRET)

    def wait(self) -> None:
        """Be silent before an answer."""
        began = time.monotonic()
        time.sleep(self.silent_for)
        while self.held and time.monotonic() - began < 8:
            time.sleep(0.02)
        self.answered += 1

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.bodies.append(Verifier(SECRET).verify(data, dict(self.headers.items())))
            receiver.ids.append(self.headers["webhook-id"])
            receiver.wait()
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hooks/s3cret-path")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
