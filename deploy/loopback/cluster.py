"""A PostgreSQL of one's own in a folder, which listens on a socket there alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.loopback.programs import POSTGRES, RUNUSER, Failed, located

OWNER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings a user for it."""


@dataclass(frozen=True)
class Cluster:
    """One in `folder`, whose path has to be short, since a socket lies in it, and open to the package's user."""

    folder: Path
    settings: str = ""

    @property
    def url(self) -> str:
        """Return where it is, for DIFFSERVER_DATABASE."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def runs(self) -> bool:
        """Tell whether it runs."""
        return self._made and self._run("pg_ctl", "-D", str(self._data), "status").returncode == 0

    def make(self) -> None:
        """Make it, unless it is there."""
        if self._made:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(self.folder, OWNER)
        self._demand("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        options = f"-c listen_addresses='' -k '{self.folder}' {self.settings}"
        if not self.runs:
            self._control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it, if it runs: as a power cut would, or in order (`fast`)."""
        if self.runs:
            self._control("-m", mode, "stop")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _made(self) -> bool:
        return (self._data / "PG_VERSION").exists()

    def _control(self, *words: str) -> None:
        self._demand("pg_ctl", "-D", str(self._data), "-w", *words)

    def _demand(self, *words: str) -> None:
        done = self._run(*words)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            why = said[-1] if said else f"status {done.returncode}"
            raise Failed(f"{words[0]}: {why}; the user {OWNER} has to reach {self.folder}, else choose another FOLDER")

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        as_owner = [located(RUNUSER), "-u", OWNER, "--"] if os.getuid() == 0 else []
        command = [*as_owner, str(Path(located(POSTGRES)).resolve().parent / program), *words]
        # What it leaves running keeps its standard output: a pipe for that would never end.
        quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
        return subprocess.run(command, cwd="/", stdout=quiet, stderr=pipe, text=True, timeout=60, check=False)
