"""The product under a soak: a server with its worker and their database as processes, to be killed and looked at."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, select

from deploy.loopback.cluster import Cluster
from diffserver.demo.run import wait_until_ready
from diffserver.settings import TOKEN_FILE
from diffserver.storage.database import reading
from diffserver.storage.tables import METADATA
from tests.hostile.with_workers import DIFFSERVER, ROOT, Home, children

MODEL, TASK = "gestures", ROOT / "examples" / "gestures" / "gestures.py"

DATABASE_SECONDS = 4.0
"""How long the database is gone when it is killed."""

LAST_SECONDS = 180.0
"""How long trainings have to end when the soak is over."""


class CommandFailed(Exception):
    """A command that did not end with status 0."""


@dataclass(frozen=True)
class Sample:
    """What server and worker use at a moment."""

    rss_mb: float
    files: int
    threads: int


@dataclass
class Product:
    """A server with its worker, and their database."""

    home: Home
    database: Cluster
    server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and the worker with it."""
        words = [*DIFFSERVER, "serve", "--port", str(self.home.port), "--task-file", str(TASK)]
        with self.home.log.open("ab") as log:
            self.server = subprocess.Popen(words, env=self.home.environment, stdout=log, stderr=log)
        wait_until_ready(self.home.url, self.server, self.home.log)

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        if self.server:
            self.server.terminate()
            self.server.wait()

    def kill_server(self) -> None:
        """Kill the server and start another one; its worker ends with it."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()
        self.start()

    def kill_worker(self) -> None:
        """Kill the worker; the server starts another one."""
        assert self.server is not None
        for pid in children(self.server.pid):
            os.kill(pid, signal.SIGKILL)

    def kill_database(self) -> None:
        """Stop the database as a power cut would, and start it some seconds later."""
        self.database.stop()
        time.sleep(DATABASE_SECONDS)
        self.database.start()

    def command(self, *words: str) -> Any:
        """Run an operator's command and return its JSON; raises CommandFailed."""
        environment = self.home.environment | {"DIFFSERVER_URL": self.home.url}
        done = subprocess.run([*DIFFSERVER, *words, "--json"], env=environment, capture_output=True, check=False)
        if done.returncode:
            raise CommandFailed(f"diffserver {' '.join(words)}: {done.stderr.decode()[-2000:]}")
        return json.loads(done.stdout)

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with reading(self.home.engine) as session:
            counts = {table.name: select(func.count()).select_from(table) for table in METADATA.sorted_tables}
            return {name: session.scalar(count) or 0 for name, count in counts.items()}

    def sample(self) -> Sample | None:
        """Return what server and worker use; None while one of them comes or goes."""
        assert self.server is not None
        try:
            folders = [Path(f"/proc/{pid}") for pid in (self.server.pid, *children(self.server.pid))]
            files = sum(len(list((folder / "fd").iterdir())) for folder in folders)
            status = [dict(map(_entry, (folder / "status").read_text().splitlines())) for folder in folders]
            rss, threads = (sum(int(entries[name].split()[0]) for entries in status) for name in ("VmRSS", "Threads"))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            return None
        return Sample(rss / 1000, files, threads) if len(folders) == 2 else None


class Kills:
    """Worker, database and server, killed in turn."""

    def __init__(self, product: Product) -> None:
        self._turns = itertools.cycle([product.kill_worker, product.kill_database, product.kill_server])
        self.counts: Counter[str] = Counter()

    def kill(self) -> None:
        """Kill the next one."""
        kill = next(self._turns)
        kill()
        self.counts[kill.__name__] += 1


@dataclass
class Trainings:
    """Trainings that are submitted over REST, in the time that the service is there."""

    home: Home
    ids: list[int] = field(default_factory=list)

    def submit(self) -> None:
        """Submit one; a service that is away at this moment gets none."""
        training = {"kind": "base", "task": MODEL, "data": str(self.home.data), "domain": "0-base", "epochs": 1}
        try:
            with self._client() as client:
                answer = client.post("/v1/trainings", json={"model": f"soak-{time.monotonic_ns()}", **training})
        except httpx2.TransportError:
            return
        if answer.is_success:
            self.ids.append(answer.json()["id"])

    def ended(self) -> int:
        """Return how many have ended, done or failed."""
        with self._client() as client:
            states = [client.get(f"/v1/trainings/{number}").json()["state"] for number in self.ids]
        return sum(state not in ("queued", "running") for state in states)

    def wait(self) -> None:
        """Wait until all have ended, or as long as that may take."""
        deadline = time.monotonic() + LAST_SECONDS
        while self.ended() < len(self.ids) and time.monotonic() < deadline:
            time.sleep(2)

    def _client(self) -> httpx2.Client:
        token = (self.home.folder / TOKEN_FILE).read_text().strip()
        return httpx2.Client(base_url=self.home.url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def _entry(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
