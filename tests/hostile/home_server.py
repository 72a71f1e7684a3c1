"""A home with a few published versions, commands on it, and servers of it as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import Engine

from diffserver.catalog import tokens, versions
from diffserver.demo.run import free_port, wait_until_ready
from diffserver.polls.memory import HEAR_SECONDS
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate
from diffserver.trust import releases
from diffserver.trust.bootstrap import establish
from diffserver.trust.keys import Keyring
from tests.client.lineage import Lineage
from tests.server import factories
from tests.waiting import wait_for


@dataclass
class HomeServer:
    """A service in a folder; `environment` is what its processes get beside the usual.

    With an operator's token it is there already, or will be.
    """

    folder: Path
    lineage: Lineage
    environment: dict[str, str] = field(default_factory=dict)
    operator: str = ""

    def __post_init__(self) -> None:
        if self.operator:
            return
        self.folder.mkdir()
        migrate.upgrade(self.engine)
        establish(self.engine, self.settings)
        with writing(self.engine) as session:
            self.operator = tokens.create(session, "admin", "anna")[1]

    @property
    def settings(self) -> Settings:
        """The settings of its processes."""
        return Settings.from_environment({"DIFFSERVER_HOME": str(self.folder), **self.environment})

    @cached_property
    def engine(self) -> Engine:
        """Its database."""
        return connect(self.settings.database)

    @property
    def objects(self) -> Objects:
        """Its objects."""
        return Objects(self.settings.objects)

    @property
    def log(self) -> Path:
        """What its servers wrote."""
        return self.folder / "log"

    def object(self, sha256: str) -> Path:
        """The file of an object."""
        return self.folder / "objects" / "sha256" / sha256[:2] / sha256

    def record(self, number: int) -> Candidate:
        """Record a version of the lineage as a candidate."""
        new = factories.of_lineage(self.lineage, number, self.objects)
        with writing(self.engine) as session:
            return versions.record_candidate(session, new)

    def publish(self, *numbers: int) -> None:
        """Publish versions of the lineage, signed; servers that run have heard of it then."""
        for number in numbers:
            candidate = self.record(number)
            with writing(self.engine) as session:
                releases.publish(session, Keyring(self.settings.keys), candidate.id, by="test")
        time.sleep(2 * HEAR_SECONDS)

    def run(self, *words: str, status: int = 0) -> Any:
        """Run a command to its end, which must be of this status; returns its JSON."""
        command = [sys.executable, "-m", "diffserver", *words, "--json", "--home", str(self.folder)]
        done = subprocess.run(command, capture_output=True, env=os.environ | self.environment, check=False)
        assert done.returncode == status, done.stderr.decode()
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def serving(self, **environment: str) -> Iterator[httpx2.Client]:
        """Serve without a worker; yields an operator's client. The server is killed at the end."""
        url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "diffserver", "serve", "--no-worker", "--home", str(self.folder)]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*command, "--port", url.rpartition(":")[2]],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment | environment,
            )
        try:
            wait_until_ready(url, child, self.log)
            with client(url, self.operator) as operator:
                yield operator
        finally:
            child.kill()
            child.wait()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [found for found in map(json.loads, lines) if found.get("event") == event]


def client(url: str, token: str) -> httpx2.Client:
    """Whoever holds a token; an empty one is sent by no one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(base_url=url, headers=headers, timeout=30)


until = partial(wait_for, seconds=15.0)
