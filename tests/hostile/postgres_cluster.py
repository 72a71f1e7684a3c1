"""A PostgreSQL of one's own, to be stopped and started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Cluster:
    """One that listens on a socket in its own folder alone."""

    programs: Path
    folder: Path
    settings: str = "-c fsync=off"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -k '{self.folder}' {self.settings}"
        self._control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """As a power cut would."""
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        run([str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *words])


def run(words: Sequence[str]) -> None:
    """Run a program of PostgreSQL's, which refuses root; Debian's package brings a user for it."""
    as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    subprocess.run([*as_owner, *words], check=True, cwd="/", stdout=subprocess.DEVNULL)


@contextmanager
def cluster(settings: str = Cluster.settings) -> Iterator[Cluster]:
    """A running cluster, gone after the block; skips where there is no PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    # The folder's path has to be short: a socket lies in it.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    made = Cluster(found[-1].parent, folder, settings)
    try:
        run([str(found[-1]), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"])
        made.start()
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder)
