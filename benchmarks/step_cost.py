"""Measure what a step of training costs with a diff in a model, against a step that trains all of its weights.

The network is the reference recogniser's, its batches random: `python -m benchmarks.step_cost`. Of a schedule of 1,250
steps a few are trained, spread over all its stages and in turns with full training; what the schedule itself takes is
counted whole. Peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import machine
from diffclient.measure.log_mel import MELS
from diffserver.diffs import hashed, sparse
from diffserver.tasks.asr.network import Network

KINDS = ("full", "sparse", "hashed")
BARS = {"seconds": 1.25, "peak_mb": 1.5}
FRAMES, BATCH, SYMBOLS, LETTERS, STEPS = 300, 16, 29, 20, 1250


class Run:
    """One kind of training, with the seconds that it takes."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.network = Network(SYMBOLS)
        self.diff = None if kind == "full" else (sparse if kind == "sparse" else hashed)(self.network, 0.02, STEPS)
        self.optimiser = torch.optim.Adam((self.diff or self.network).parameters(), 1e-3)
        self.trained: list[float] = []
        self.scheduled = 0.0

    def train(self) -> None:
        """Make one step of the optimiser."""
        began = time.perf_counter()
        _loss(self.network).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.trained.append(time.perf_counter() - began)

    def schedule(self, steps: int) -> None:
        """Go on in the schedule."""
        began = time.perf_counter()
        for _ in range(steps if self.diff else 0):
            self.diff.step()  # type: ignore[union-attr]
        self.scheduled += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Of a step: the median of those that were trained, and what the schedule takes, on an average."""
        return statistics.median(self.trained) + self.scheduled / STEPS


def _loss(network: nn.Module) -> Tensor:
    features, lengths = torch.randn(BATCH, FRAMES, MELS), torch.full((BATCH,), FRAMES)
    scores, sizes = network(features, lengths)
    letters = torch.randint(1, SYMBOLS, (BATCH, LETTERS))
    return nn.functional.ctc_loss(scores.transpose(0, 1), letters, sizes, torch.full((BATCH,), LETTERS))


def seconds(samples: int) -> dict[str, float]:
    """Return the seconds of a step by kind; kinds take turns at every sample."""
    runs = {kind: Run(kind) for kind in KINDS}
    for _ in range(samples):
        for run in runs.values():
            run.train()
            run.schedule(STEPS // samples)
    return {kind: run.seconds for kind, run in runs.items()}


def peak_mb(kind: str) -> float:
    """Return the peak memory of a process that trains so, in MB."""
    command = [sys.executable, "-m", "benchmarks.step_cost", "--peak", kind]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024


def main() -> None:
    """Measure, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=25, help="The trained steps of each kind.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    parser.add_argument("--peak", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        run = Run(options.peak)
        for _ in range(5):
            run.train()
            run.schedule(STEPS // 5)
        print(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])
        return
    found = {"seconds": seconds(options.samples), "peak_mb": {kind: peak_mb(kind) for kind in KINDS}}
    ratios = {what: {kind: sides[kind] / sides["full"] for kind in KINDS} for what, sides in found.items()}
    missed = [(what, kind) for what, bar in BARS.items() for kind in KINDS if ratios[what][kind] > bar]
    for what, by_kind in ratios.items():
        print(what, ", ".join(f"{kind} {found[what][kind]:.4g} ({ratio:.2f})" for kind, ratio in by_kind.items()))
    if options.json:
        figures = {"machine": machine.describe(), **found, "ratios": ratios, "bars": BARS}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(f"above the bar: {missed}" if missed else 0)


if __name__ == "__main__":
    main()
