"""A home with gestures to train on, and the processes that serve and work there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import Engine

from diffserver.catalog import training_queue
from diffserver.catalog.training_request import TrainingSpec
from diffserver.demo.run import free_port, wait_until_ready
from diffserver.settings import TOKEN_FILE, Settings
from diffserver.storage.database import connect, reading, writing
from diffserver.storage.tables import Training
from tests.hostile.gesture_tasks import GATE
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "tests" / "hostile" / "gesture_tasks.py"
DIFFSERVER = (sys.executable, "-m", "diffserver")
LIMIT_SECONDS = 90.0


@dataclass
class Home:
    """A server's home; `environment` is what its processes have besides ours."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.gate, self.data, self.temporary = (self.folder.parent / name for name in ("gate", "data", "temporary"))
        for folder in (self.gate, self.temporary):
            folder.mkdir(exist_ok=True)
        make = ROOT / "examples" / "gestures" / "make_data.py"
        subprocess.run([sys.executable, str(make), str(self.data)], check=True)
        known = {"DIFFSERVER_HOME": str(self.folder), GATE: str(self.gate), "TMPDIR": str(self.temporary)}
        self.environment = os.environ | known | self.environment
        subprocess.run([*DIFFSERVER, "init"], env=self.environment, check=True, capture_output=True)

    @property
    def engine(self) -> Engine:
        return connect(Settings.from_environment(self.environment).database)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder.parent / "log"

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of an event, from all processes so far; a disk that was full has torn some."""
        lines = [line for line in self.log.read_text().splitlines() if f'"event": "{event}"' in line]
        return [json.loads(line) for line in lines if line.startswith('{"')]

    def get(self, path: str) -> Any:
        """What the server answers an operator."""
        token = (self.folder / TOKEN_FILE).read_text().strip()
        answer = httpx2.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()

    def submit(self, kind: str) -> int:
        """Queue a training of the task of that name, as the service does."""
        with writing(self.engine) as session:
            spec = TrainingSpec("base", f"model-{time.monotonic_ns()}", str(self.data), kind, epochs=1)
            return training_queue.submit(session, spec).id

    def training(self, number: int) -> Training:
        with reading(self.engine) as session:
            return training_queue.find(session, number)

    def ended(self, number: int) -> Training:
        """The training once it is over."""
        wait_for(lambda: self.training(number).state not in ("queued", "running"))
        return self.training(number)

    @contextmanager
    def process(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of the server until the block ends."""
        with self.log.open("ab") as log:
            process = subprocess.Popen([*DIFFSERVER, *words], env=self.environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(LIMIT_SECONDS)
            finally:
                process.kill()

    @contextmanager
    def serving(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server, with the worker that it starts unless told otherwise."""
        with self.process("serve", "--port", str(self.port), *tasks(), *options) as process:
            wait_until_ready(self.url, process, self.log)
            yield process

    def working(self, *options: str) -> Any:
        """Run a worker until the block ends."""
        return self.process("worker", *tasks(), *options)

    def worker_pids(self) -> list[int]:
        """The process ids of all workers that were started so far."""
        return [int(line["worker"].split("-")[-2]) for line in self.logged("worker starts")]


def tasks() -> list[str]:
    """The options that let a worker run the tasks."""
    kinds = ("Waiting", "Killer", "Unspeakable")
    return [word for kind in kinds for word in ("--task-file", f"{TASKS}:{kind}")]


def alive(pid: int) -> bool:
    """Whether there is such a process that is more than defunct."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    """A process's children, defunct ones too."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]
