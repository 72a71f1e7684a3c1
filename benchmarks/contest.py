"""Time contestants that make a file, each in a process of its own, in alternating turns.

Before each turn everything is synced and the input is read into the page cache, so all start alike. numpy is not
imported here, since a child's peak memory starts from its parent's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Operation = Callable[[Path], tuple[float, float]]
"""A function that makes a file and returns seconds and peak memory in MB."""


@dataclass
class Contestant:
    """A way to make a new model from an old one, and its figures of each round."""

    name: str
    reads: list[Path]
    act: Operation
    seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)

    def run(self, out: Path) -> None:
        """Take a turn: make `out`, record seconds and peak memory, and remove it."""
        for path in self.reads:
            warm(path)
        os.sync()
        seconds, peak = self.act(out)
        out.unlink()
        self.seconds.append(seconds)
        self.peak_mb.append(peak)
        print(f"  {self.name:28} {seconds:7.2f} s {peak:6.0f} MB", file=sys.stderr)

    @property
    def median(self) -> float:
        """The median of the rounds' seconds."""
        return statistics.median(self.seconds)

    def figures(self, copy: Contestant) -> dict[str, Any]:
        """Return the median, its ratio to that of `copy`, the peak memory, and the rounds' seconds."""
        return {
            "name": self.name,
            "seconds": round(self.median, 3),
            "ratio": round(self.median / copy.median, 3),
            "peak_mb": round(max(self.peak_mb), 1),
            "seconds_by_round": self.rounded,
        }

    @property
    def rounded(self) -> list[float]:
        """The seconds of every round, rounded."""
        return [round(value, 3) for value in self.seconds]


def compete(contestants: Sequence[Contestant], rounds: int, out: Path) -> None:
    """Run every contestant once in every round."""
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for contestant in contestants:
            contestant.run(out)


def warm(path: Path) -> None:
    """Read a file, so that it is in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def child(module: str, *arguments: object) -> tuple[dict[str, Any], float]:
    """Run one of this package's modules; return the JSON object that it printed, and its peak memory in MB."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        printed = process.stdout.read()
        peak = wait(process)
    if process.returncode:
        raise SystemExit(f"benchmarks.{module} failed: see above")
    return json.loads(printed), peak


def wait(process: subprocess.Popen[Any]) -> float:
    """Wait for a process to end; return its peak memory in MB of 10^6 bytes."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * 1024 / 1e6
