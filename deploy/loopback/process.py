"""A process that outlives whoever started it: known by a file of its id, with its log beside that.

What runs is left to `topology`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Process:
    """A command under a name, with what its environment has besides the usual; `folder` holds its files."""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_seconds: float = 10.0

    @property
    def log(self) -> Path:
        """Return the file of what it says."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Return its id; None if it does not run."""
        try:
            number, began = self._file.read_text().split()
        except FileNotFoundError:
            return None
        return int(number) if _began(int(number)) == began else None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(self.environment),
                start_new_session=True,
            )
        self._file.write_text(f"{child.pid} {_began(child.pid)}\n")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it in order, and hard if that takes longer than its grace."""
        if self.pid is not None and not self._ended(by, self.grace_seconds):
            self._ended(signal.SIGKILL, self.grace_seconds)
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def _ended(self, by: signal.Signals, seconds: float) -> bool:
        end = time.monotonic() + seconds
        if (pid := self.pid) is not None:
            os.kill(pid, by)
        while self.pid is not None and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return self.pid is None


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the machine's start: with its id, this names it alone. None if it ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[18] if state != "Z" else None
