"""A server in memory that speaks real HTTP on the loopback, and misbehaves where a test says so."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.client.lineage import Lineage
from tests.client.repository import Repository

DEVICE_TOKEN, ENROL_TOKEN = "device-secret", "enrol-secret"


@dataclass
class Reply:
    """A reply before it is sent, which a fault may change."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    """Break off after so many bytes of the body."""
    endless: bool = False
    """Repeat the body until the client hangs up."""
    stall: threading.Event | None = None
    """Before breaking off, wait for this."""


Fault = Callable[[Reply], None]


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedServer:
    """A server of one lineage, signed in a repository; `target` is the version that polls are answered with."""

    def __init__(self, lineage: Lineage, target: int = 0) -> None:
        self.lineage = lineage
        self.repository = Repository(lineage.model)
        self.first_timestamp = self.repository.files["timestamp.json"]
        self.sign()
        self.target = target
        self.seen: list[Seen] = []
        self.told: list[dict[str, Any]] = []
        """What devices said of themselves between polls."""
        self.reports: list[dict[str, Any]] = []
        self.rewrite: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer
        self.goes_round = False
        """Whether steps that failed on a device are left out; older servers know nothing of it."""
        self._faults: list[tuple[str, Fault, int | None]] = []
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True).start()

    def fault(self, path: str, fault: Fault, times: int | None = None) -> None:
        """Apply `fault` to replies on paths that contain `path`; for ever, or so many times."""
        self._faults.append((path, fault, times))

    def sign(self) -> None:
        """Publish the lineage's metadata."""
        line = self.lineage
        weights = {step.to_version: step.payload for step in line.snapshots}
        self.repository.cover([*line.snapshots, *line.diffs], weights)

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()
        self.repository.mend()
        self.sign()
        self.rewrite = lambda answer: answer

    def close(self) -> None:
        """Stop the server."""
        self._httpd.shutdown()
        self._httpd.server_close()

    def blobs_asked(self) -> list[str]:
        """The SHA-256s of the blobs asked for, in order."""
        return [request.path.rsplit("/", 1)[1] for request in self.seen if "/v1/blobs/" in request.path]

    def reply(self, request: Seen) -> Reply:
        """The reply to a request, faults included."""
        reply = self._honest(request)
        for number, (path, fault, times) in enumerate(self._faults):
            if path in request.path and times != 0:
                self._faults[number] = (path, fault, None if times is None else times - 1)
                fault(reply)
        return reply

    def _honest(self, request: Seen) -> Reply:
        if "/v1/blobs/" in request.path:
            return self._blob(request)
        if "/v1/tuf/" in request.path:
            data = self.repository.files.get(unquote(request.path.rpartition("/")[2]))
            return problem(404, "no such metadata", "") if data is None else Reply(200, data)
        expected = ENROL_TOKEN if request.path.endswith("/enroll") else DEVICE_TOKEN
        if request.headers.get("authorization") != f"Bearer {expected}":
            return problem(401, "token unknown", "enrol again")
        if request.path == "/v1/enroll":
            body = {key: request.body[key] for key in ("model", "channel")}
            return _json(201, body | {"device_id": "device-1", "token": DEVICE_TOKEN})
        if request.path == "/v1/device/poll":
            answer = self._answer(request.body)
            return problem(409, "no path", "publish it") if answer is None else _json(200, self.rewrite(answer))
        if request.path == "/v1/device/state":
            self.told.append(request.body)
            return Reply(204, b"")
        if request.path == "/v1/device/reports":
            self.reports.append(request.body)
            return _json(201, {"id": len(self.reports)})
        return problem(404, "no such page", "")

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The first way that takes none of the steps to be left out, a snapshot last; None where there is none."""
        ways = [self.lineage.answer(digest, self.target) for digest in (asked["digest"], None)]
        left_out = asked.get("without", []) if self.goes_round else []
        answer = next((way for way in ways if not set(way["steps"]) & set(left_out)), None)
        if answer and not asked["full_fallback"] and any(name.endswith(".snapshot") for name in answer["steps"]):
            return answer | {"action": "none", "steps": [], "notice": "snapshot"}
        return answer

    def _blob(self, request: Seen) -> Reply:
        name = request.path.rsplit("/", 1)[1]
        data = self.lineage.blobs.get(name)
        if data is None:
            return problem(404, "no such blob", "publish it")
        headers = {"ETag": f'"{name}"'}
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if asked and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
            start = int(asked[1])
            if start >= len(data):
                return problem(416, "range not satisfiable", "")
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Reply(206, data[start:], headers)
        return Reply(200, data, headers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet, or each answer waits for an acknowledgement

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Seen(self.command, self.path, headers, body)
                script.seen.append(request)
                with contextlib.suppress(ConnectionError):
                    self._send(script.reply(request))

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body[: reply.sent])
                while reply.endless:
                    self.wfile.write(reply.body)
                if reply.stall:
                    self.wfile.flush()
                    reply.stall.wait(20)
                self.close_connection = reply.sent is not None or reply.endless

        return Handler


def problem(status: int, title: str, remedy: str) -> Reply:
    """An error as RFC 9457 words it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": "a detail", "remedy": remedy}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/problem+json"})


def _json(status: int, value: object) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


# Faults: each changes a reply that was honest so far.


def vanish(share: float) -> Fault:
    """Break off after a share of the body."""

    def fault(reply: Reply) -> None:
        reply.sent = int(len(reply.body) * share)

    return fault


def stall(share: float, until: threading.Event) -> Fault:
    """Fall silent after a share of the body."""

    def fault(reply: Reply) -> None:
        reply.sent, reply.stall = int(len(reply.body) * share), until

    return fault


def alter(reply: Reply) -> None:
    """Flip one bit in the middle."""
    middle = len(reply.body) // 2
    reply.body = reply.body[:middle] + bytes([reply.body[middle] ^ 1]) + reply.body[middle + 1 :]


def cut(reply: Reply) -> None:
    """Lack the last ten bytes, and say so."""
    reply.body = reply.body[:-10]


def lengthen(reply: Reply) -> None:
    """Have ten bytes too many, and say so."""
    reply.body += bytes(10)


def spill(reply: Reply) -> None:
    """Never end, and announce no length."""
    reply.headers["Content-Length"], reply.endless = "", True


def hurry(reply: Reply) -> None:
    """End early without ever having announced a length."""
    reply.headers["Content-Length"], reply.sent = "", len(reply.body) // 2


def compress(reply: Reply) -> None:
    """Claim an encoding that nobody asked for."""
    reply.headers["Content-Encoding"] = "gzip"


def misplace(reply: Reply) -> None:
    """Answer with a part that nobody asked for."""
    reply.status, reply.headers["Content-Range"] = 206, f"bytes 1-{len(reply.body)}/{len(reply.body) + 1}"


def redirect(reply: Reply) -> None:
    """Point to itself, for ever."""
    reply.status, reply.headers["Location"], reply.body = 302, "/v1/blobs/again", b""


def lead(url: str) -> Fault:
    """Point to a URL, from where it goes no further."""

    def fault(reply: Reply) -> None:
        reply.status, reply.headers, reply.body = 307, {"Location": url}, b""

    return fault


def say(body: bytes) -> Fault:
    """Answer 200 with these bytes."""

    def fault(reply: Reply) -> None:
        reply.status, reply.body = 200, body

    return fault


def refuse(status: int, retry_after: str = "") -> Fault:
    """Answer with a problem."""

    def fault(reply: Reply) -> None:
        answer = problem(status, "out of order", "come back later")
        reply.status, reply.body, reply.headers = status, answer.body, answer.headers | {"Retry-After": retry_after}

    return fault
