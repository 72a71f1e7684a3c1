"""Patches by other tools between a model before and after an update, and the cost of restoring the file.

A tool that cannot patch the whole model within the limits gets a model of one tensor.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import wait
from benchmarks.peers import BSDIFF, HDIFFZ, ZSTD, Peer

PEERS = (ZSTD, BSDIFF, HDIFFZ)
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Pair:
    """A model's file before and after an update."""

    old: Path
    new: Path
    new_sha256: str


@dataclass(frozen=True)
class Limits:
    """The limits of making a patch."""

    seconds: float
    memory_mb: int


@dataclass(frozen=True)
class Patched:
    """A tool and the patch that it made."""

    peer: Peer
    pair: Pair
    patch: Path
    figures: dict[str, Any]
    """Figures known before the file is restored."""

    def restore(self, out: Path) -> tuple[float, float]:
        """Restore the new file, sync and hash it; return seconds and the tool's peak memory in MB."""
        start = time.perf_counter()
        with subprocess.Popen(
            self.peer.restore_command(self.pair.old, self.patch, out), stdout=subprocess.DEVNULL
        ) as process:
            peak = wait(process)
        with out.open("rb+") as file:
            os.fsync(file.fileno())
        actual = sha256(out)
        seconds = time.perf_counter() - start
        if process.returncode or actual != self.pair.new_sha256:
            raise SystemExit(f"{self.peer.name} did not restore the file")
        return seconds, peak


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, read piece by piece."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_BUFFER):
            whole.update(data)
    return whole.hexdigest()


def patches(pairs: Sequence[Pair], limits: Limits) -> tuple[list[Patched], list[dict[str, str]]]:
    """Return each tool's patch of the first pair that it can patch, and the tools that failed, with reasons."""
    patched, left_out = [], []
    for peer in PEERS:
        reasons = [f"{reason}" for reason in [peer.missing()] if reason]
        for pair in pairs if not reasons else ():
            outcome = _patch(peer, pair, limits)
            if isinstance(outcome, Patched):
                patched.append(_with_reasons(outcome, reasons))
                break
            reasons.append(outcome)
        else:
            left_out.append({"name": peer.name, "reason": "; ".join(reasons)})
    return patched, left_out


def _with_reasons(patched: Patched, reasons: list[str]) -> Patched:
    extra = {"smaller_because": "; ".join(reasons)} if reasons else {}
    return Patched(patched.peer, patched.pair, patched.patch, patched.figures | extra)


def _patch(peer: Peer, pair: Pair, limits: Limits) -> Patched | str:
    """Return the patch, or the reason of the failure."""
    size, patch = pair.old.stat().st_size, pair.old.with_suffix(f".{peer.name}")
    print(f"{peer.name}: making a patch of {size:,} bytes", file=sys.stderr)
    start = time.perf_counter()
    try:
        _run(peer.make_arguments(pair.old, pair.new, patch), limits)
    except subprocess.TimeoutExpired:
        return f"a patch of {size:,} bytes takes more than {limits.seconds:.0f} s"
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {error.returncode}"]
        return f"no patch of {size:,} bytes within {limits.memory_mb:,} MB: {words[0]}"
    figures = {
        "settings": peer.settings,
        "model_bytes": size,
        "patch_bytes": patch.stat().st_size,
        "patch_seconds": round(time.perf_counter() - start, 1),
    }
    return Patched(peer, pair, patch, figures)


def _run(command: list[str], limits: Limits) -> None:
    memory = limits.memory_mb * 1_000_000
    subprocess.run(
        [sys.executable, "-c", _LIMITED, str(memory), shutil.which(command[0]) or command[0], *command[1:]],
        check=True,
        capture_output=True,
        timeout=limits.seconds,
    )


_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
