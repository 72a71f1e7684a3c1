"""A server in a process of its own, as an operator starts it, with a model of a few versions."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffserver.settings import TOKEN_FILE, Settings
from diffserver.storage.database import connect, writing
from diffserver.storage.object_store import Objects
from diffserver.trust import releases
from diffserver.trust.keys import Keyring
from tests.server.conftest import chain, record

DIFFSERVER = (sys.executable, "-m", "diffserver")
READY_SECONDS, ANSWER_SECONDS = 60.0, 40.0


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server, where it lives, and who may ask what of it."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    operator: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it said so far."""
        return (self.home / "log").read_text()

    def connected(self, timeout: float = 20.0) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def asked(self, method: str, path: str, body: Any = None, token: str | None = None) -> Answer:
        """The answer to a request over a connection of its own, whatever its status."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def device(self, name: str = "kitchen") -> str:
        """A device's token."""
        token: str = self.asked("POST", "/v1/enroll", {"model": "speech", "name": name}, self.operator).json()["token"]
        return token

    def roles(self) -> dict[str, str | None]:
        """A token of each role, the one that may most last; nobody has none."""
        made = {
            role: str(self.asked("POST", "/v1/tokens", {"role": role, "name": role}, self.operator).json()["token"])
            for role in ("viewer", "publisher")
        }
        return {"nobody": None, "device": self.device(), **made, "admin": self.operator}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """An operator's command against it, on a wide terminal."""
        environment = os.environ | {
            "DIFFSERVER_HOME": str(self.home),
            "DIFFSERVER_URL": self.url,
            "COLUMNS": "200",
            "PYTHONIOENCODING": "utf-8",
        }
        return subprocess.run([*DIFFSERVER, *words], capture_output=True, text=True, env=environment, timeout=120)


@contextmanager
def served(home: Path, files: int | None = None, versions: int = 2, **settings: int) -> Iterator[Served]:
    """Run a server with these settings, which may open so many files, until the block ends."""
    subprocess.run([*DIFFSERVER, "init", "--home", str(home)], check=True, capture_output=True)
    _fill(home, versions)
    port = free_port()
    environment = os.environ | {f"DIFFSERVER_{name.upper()}": str(value) for name, value in settings.items()}
    limit = () if files is None else ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
    words = [*limit, *DIFFSERVER, "serve", "--no-worker", "--home", str(home), "--port", str(port)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=environment)
    server = Served(home, port, process, (home / TOKEN_FILE).read_text().strip())
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def _fill(home: Path, versions: int) -> None:
    chosen = Settings.under(home)
    engine = connect(chosen.database)
    snapshot = Objects(chosen.objects).put(b"a snapshot")  # a server whose objects are all lost is not ready
    base, *updates = chain(versions)
    for new in (base, *(replace(update, snapshot=snapshot) for update in updates)):
        candidate = record(engine, new)
        with writing(engine) as session:
            releases.publish(session, Keyring(chosen.keys), candidate.id, by="test")
    engine.dispose()


def _wait(server: Served) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            assert server.asked("GET", "/readyz").status == 200
            return
        except (OSError, http.client.HTTPException):
            assert server.process.poll() is None, server.log()
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.1)


def free_port() -> int:
    """A port that nothing listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
