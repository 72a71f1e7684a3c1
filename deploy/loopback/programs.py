"""The programs that the topology is made of, each with Debian's package that brings it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POSTGRESQL = Path("/usr/lib/postgresql")


class Missing(Exception):
    """A program that is not installed; says what installs it."""


class Failed(Exception):
    """A part of the topology that did not start; says where to look."""


@dataclass(frozen=True)
class Program:
    """A program by its name, and the package that brings it."""

    name: str
    package: str

    def find(self) -> Path | None:
        """Return where it is, None if it is nowhere."""
        found = shutil.which(self.name) or shutil.which(self.name, path="/usr/sbin") or self._newest()
        return Path(found) if found else None

    def _newest(self) -> Path | None:
        """One of PostgreSQL's programs, which are on no path, of the newest release that is there."""
        found = sorted(POSTGRESQL.glob(f"*/bin/{self.name}"), key=lambda path: int(path.parts[-3]))
        return found[-1] if found else None


NGINX = Program("nginx", "nginx-light")
POSTGRES = Program("postgres", "postgresql")
RUNUSER = Program("runuser", "util-linux")
PROMETHEUS = Program("prometheus", "prometheus")
"""The topology goes without it."""

NEEDED = (NGINX, POSTGRES)


def require(programs: Iterable[Program] = NEEDED) -> None:
    """Raise Missing, with the line that installs them, unless all are there."""
    packages = [program.package for program in programs if program.find() is None]
    if packages:
        raise Missing(
            f"missing: {', '.join(packages)}; run: apt-get install --no-install-recommends {' '.join(packages)}"
        )


def located(program: Program) -> str:
    """Return the path of a program that has to be there; raises Missing."""
    require([program])
    return str(program.find())
