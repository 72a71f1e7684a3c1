"""Tools that make a byte-level patch from an old file to a new one, for comparison with payloads.

Programs are found on the PATH, Python packages in the interpreter that the environment variable PEERS_PYTHON names
(this one by default). A missing tool is reported; nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LARGE = 256 << 20
"""The size above which files get settings that finish within minutes."""

Command = Callable[[Path, Path, Path], list[str]]


@dataclass(frozen=True)
class Peer:
    """A tool and its commands."""

    name: str
    settings: str
    """Its settings, in words."""
    make_arguments: Command
    """A function from old, new and patch to the command that writes the patch."""
    restore_arguments: Command
    """A function from old, patch and out to the command that writes the new file to `out`."""
    needs: Callable[[], str | None]

    def missing(self) -> str | None:
        """Return why the tool cannot run here; None if it can."""
        return self.needs()

    def make(self, old: Path, new: Path, patch: Path) -> None:
        """Write the patch from `old` to `new`; raises CalledProcessError if the tool fails."""
        run(self.make_arguments(old, new, patch))

    def restore_command(self, old: Path, patch: Path, out: Path) -> list[str]:
        """Return the command that writes the new file to `out`."""
        return self.restore_arguments(old, patch, out)


def run(command: list[str]) -> None:
    """Run a command quietly; raises CalledProcessError with its output if it fails."""
    subprocess.run(command, check=True, capture_output=True)


def python() -> str:
    """Return the interpreter of the peers that are Python packages."""
    return os.environ.get("PEERS_PYTHON", sys.executable)


def lacks_module(module: str) -> str | None:
    """Return why `module` cannot be used; None if the peers' interpreter has it."""
    try:
        run([python(), "-c", f"import {module}"])
    except (OSError, subprocess.CalledProcessError):
        return f"PEERS_PYTHON has no package {module}"
    return None


def _lacks_program(program: str, source: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(program) else f"there is no {program} on the PATH ({source})"


def _level(old: Path) -> str:
    return "-3" if old.stat().st_size > LARGE else "-19"


def _blocks(old: Path) -> str:
    return "-s-64" if old.stat().st_size > LARGE else "-m-1"


def _window(old: Path) -> str:
    return str(max(1 << 26, old.stat().st_size))


_HDIFFPATCH = """
import sys, hdiffpatch
from pathlib import Path
first, second = (Path(name).read_bytes() for name in sys.argv[2:4])
make = sys.argv[1] == "make"
made = hdiffpatch.diff(first, second, "lzma2", validate=False) if make else hdiffpatch.apply(first, second)
Path(sys.argv[4]).write_bytes(made)
"""

ZSTD = Peer(
    "zstd",
    "--patch-from, level 19 (3 above 256 MiB), one window for the whole file",
    lambda old, new, patch: [
        "zstd", "-q", "-f", _level(old), "--long=31", f"--patch-from={old}", str(new), "-o", str(patch)
    ],
    lambda old, patch, out: ["zstd", "-q", "-f", "-d", "--long=31", f"--patch-from={old}", str(patch), "-o", str(out)],
    _lacks_program("zstd", "Debian package zstd"),
)  # fmt: skip
XDELTA3 = Peer(
    "xdelta3",
    "-9 -S lzma, source window as large as the file",
    lambda old, new, patch: [
        "xdelta3", "-e", "-q", "-f", "-9", "-S", "lzma", "-B", _window(old), "-s", str(old), str(new), str(patch)
    ],
    lambda old, patch, out: ["xdelta3", "-d", "-q", "-f", "-B", _window(old), "-s", str(old), str(patch), str(out)],
    _lacks_program("xdelta3", "Debian package xdelta3"),
)  # fmt: skip
BSDIFF = Peer(
    "bsdiff",
    "bsdiff 4 (bzip2)",
    lambda old, new, patch: ["bsdiff", str(old), str(new), str(patch)],
    lambda old, patch, out: ["bspatch", str(old), str(out), str(patch)],
    _lacks_program("bsdiff", "Debian package bsdiff"),
)
HDIFFZ = Peer(
    "hdiffz",
    "HDiffPatch, -m-1 (-s-64 above 256 MiB), zstd level 21",
    lambda old, new, patch: ["hdiffz", "-f", _blocks(old), "-c-zstd-21-24", str(old), str(new), str(patch)],
    lambda old, patch, out: ["hpatchz", "-f", str(old), str(patch), str(out)],
    _lacks_program("hdiffz", "not in Debian 12; build HDiffPatch"),
)
HDIFFPATCH = Peer(
    "hdiffpatch",
    "HDiffPatch as the Python package hdiffpatch, lzma2",
    lambda old, new, patch: [python(), "-c", _HDIFFPATCH, "make", str(old), str(new), str(patch)],
    lambda old, patch, out: [python(), "-c", _HDIFFPATCH, "restore", str(old), str(patch), str(out)],
    lambda: lacks_module("hdiffpatch"),
)

BYTE_LEVEL = (ZSTD, XDELTA3, BSDIFF, HDIFFZ, HDIFFPATCH)
"""Every peer, in the order in which tables show them."""
