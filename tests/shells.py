"""Real shells in which a program of this checkout is asked what it completes; one that is not installed is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BARE = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}
"""What keeps a shell from reading anybody's settings."""


@dataclass(frozen=True)
class Shell:
    """A shell that finds one program, with a home of its own."""

    name: str
    home: Path

    def run(self, script: str) -> str:
        """Return what a script prints in an empty folder; it must not fail."""
        (empty := self.home / "empty").mkdir(exist_ok=True)
        path = os.pathsep.join([str(self.home), os.environ["PATH"]])
        paths = os.pathsep.join([str(ROOT), str(ROOT / "client")])
        environment = {**os.environ, "PATH": path, "PYTHONPATH": paths, "HOME": str(self.home)}
        words = [self.name, BARE[self.name], "-c", script]
        done = subprocess.run(words, env=environment, cwd=empty, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def parse(self, script: str) -> None:
        """Let the shell parse a script; it must be one."""
        check = "--no-execute" if self.name == "fish" else "-n"
        subprocess.run([self.name, check], input=script, text=True, check=True)


def shell_with(program: str, name: str, home: Path) -> Shell:
    """Return a shell that finds the program."""
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    file = home / program
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {program} "$@"\n')
    file.chmod(0o755)
    return Shell(name, home)
