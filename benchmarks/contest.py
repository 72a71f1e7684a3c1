"""Contests: things that make a file, each a process of its own, that take turns and are timed.

Before each turn everything is synced and what is read is brought into the page cache, so all start alike. numpy is
not imported here: a process's peak memory is counted from that of the one that started it.
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

Act = Callable[[Path], tuple[float, float]]
"""Makes a file; returns seconds and peak memory in MB."""


@dataclass
class Contestant:
    """Something that makes a new model from an old one, and how it did in each round."""

    name: str
    reads: list[Path]
    act: Act
    seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)

    def run(self, out: Path) -> None:
        """Take a turn."""
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
        """The median of the seconds."""
        return statistics.median(self.seconds)

    def figures(self, copy: Contestant) -> dict[str, Any]:
        """Return the medians, beside that of `copy`, and the rounds that they come from."""
        return {
            "name": self.name,
            "seconds": round(self.median, 3),
            "ratio": round(self.median / copy.median, 3),
            "peak_mb": round(max(self.peak_mb), 1),
            "seconds_by_round": self.rounded,
        }

    @property
    def rounded(self) -> list[float]:
        """Every round's seconds."""
        return [round(each, 3) for each in self.seconds]


def compete(contestants: Sequence[Contestant], rounds: int, out: Path) -> None:
    """Give everyone a turn in every round."""
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
