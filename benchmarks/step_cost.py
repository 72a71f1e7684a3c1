"""Measure what a step of training costs with a diff in a model, against a step that trains all of its weights.

The network is the reference recogniser's, or Moonshine's, its batches random: `python -m benchmarks.step_cost`. Of a
schedule a few steps are trained, spread over all its stages and in turns with full training; what the schedule itself
takes is counted whole. Peak memory is that of a process of its own, on a GPU the GPU's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import machine, moonshine
from diffclient.measure.log_mel import MELS
from diffserver.diffs import hashed, sparse
from diffserver.tasks import open_task
from diffserver.tasks.asr.network import Network
from diffserver.tasks.plain import Batch

KINDS = ("full", "sparse", "hashed")
BUDGET = 0.02
FRAMES, BATCH, SYMBOLS, LETTERS = 300, 16, 29, 20
HOPS, HOP, TOKENS = 1150, 64, 12
"""Of Moonshine's batches: 4.6 seconds and a dozen tokens, as the sentences have them that it is taught."""


@dataclass(frozen=True)
class Case:
    """A network to train, and the most that a step may cost, as a multiple of full training's."""

    name: str
    steps: int
    """Of the schedule."""
    samples: int
    """Of its steps, those that are trained."""
    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, str], Tensor]
    """Of a random batch on a device."""
    bars: dict[str, float]


class Run:
    """One kind of training, with the seconds that it takes."""

    def __init__(self, case: Case, kind: str, device: str) -> None:
        torch.manual_seed(0)
        self.case, self.device, self.network = case, device, case.build().to(device)
        make = sparse if kind == "sparse" else hashed
        self.diff = None if kind == "full" else make(self.network, BUDGET, case.steps)
        self.optimiser = torch.optim.Adam((self.diff or self.network).parameters(), 1e-3)
        self.trained: list[float] = []
        self.scheduled = 0.0

    def train(self) -> None:
        """Make one step of the optimiser."""
        began = self._now()
        self.case.loss(self.network, self.device).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.trained.append(self._now() - began)

    def schedule(self, steps: int) -> None:
        """Go on in the schedule."""
        began = self._now()
        for _ in range(steps if self.diff else 0):
            self.diff.step()  # type: ignore[union-attr]
        self.scheduled += (self._now() - began) / self.case.steps

    @property
    def seconds(self) -> float:
        """Of a step: the median of those that were trained, and what the schedule takes, on an average."""
        return statistics.median(self.trained) + self.scheduled

    def _now(self) -> float:
        """Return the time, once all that was asked of a GPU is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()


def of_reference() -> Case:
    """Return the reference recogniser's case."""
    return Case("reference", 1250, 25, partial(Network, SYMBOLS), _reference_loss, {"seconds": 1.25, "peak_mb": 1.5})


def _reference_loss(network: nn.Module, device: str) -> Tensor:
    features, lengths = torch.randn(BATCH, FRAMES, MELS, device=device), torch.full((BATCH,), FRAMES, device=device)
    scores, sizes = network(features, lengths)
    letters = torch.randint(1, SYMBOLS, (BATCH, LETTERS), device=device)
    return nn.functional.ctc_loss(scores.transpose(0, 1), letters, sizes, torch.full((BATCH,), LETTERS))


def of_moonshine(folder: Path) -> Case:
    """Return Moonshine's case, with the weights and the sizes of a Hugging Face folder."""
    os.environ["MOONSHINE"] = str(folder)
    task: Any = open_task(str(moonshine.EXAMPLE / "moonshine.py"))

    def loss(network: nn.Module, device: str) -> Tensor:
        wave = 0.1 * torch.randn(moonshine.BATCH, HOPS, HOP, device=device)
        tokens = torch.randint(3, task.config.vocab_size, (moonshine.BATCH, TOKENS), device=device)
        found: Tensor = task.loss(network, Batch((wave, torch.full((len(wave),), HOPS * HOP, device=device)), tokens))
        return found

    return Case("moonshine", moonshine.STEPS, 8, task.loaded, loss, {"seconds": 1.15, "peak_mb": 1.5})


def seconds(case: Case, device: str) -> dict[str, dict[str, float]]:
    """Return the seconds of a step by kind, and which of these the schedule takes; kinds take turns at every sample."""
    runs = {kind: Run(case, kind, device) for kind in KINDS}
    for _ in range(case.samples):
        for run in runs.values():
            run.train()
            run.schedule(case.steps // case.samples)
    return {
        "seconds": {kind: run.seconds for kind, run in runs.items()},
        "seconds_of_schedule": {kind: run.scheduled for kind, run in runs.items()},
    }


def peak_mb(kind: str) -> float:
    """Return the peak memory of a process that trains so, in MB."""
    command = [sys.executable, "-m", "benchmarks.step_cost", *sys.argv[1:], "--peak", kind]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout) / 1024


def _peak_kb(case: Case, kind: str, device: str) -> int:
    """Train in this process, and return its peak memory."""
    run = Run(case, kind, device)
    for _ in range(5):
        run.train()
        run.schedule(case.steps // 5)
    if device != "cpu":
        return torch.cuda.max_memory_allocated() // 1024
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def write(path: Path, figures: dict[str, Any]) -> None:
    """Put a case's figures into a file, in place of earlier ones of that network on that device."""
    cases = json.loads(path.read_text())["cases"] if path.exists() else []
    others = [case for case in cases if any(case[key] != figures[key] for key in ("case", "device"))]
    path.write_text(json.dumps({"cases": [*others, figures]}, indent=1) + "\n")


def main() -> None:
    """Measure, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moonshine", type=Path, metavar="FOLDER", help="Measure Moonshine's network instead.")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here, beside other cases.")
    parser.add_argument("--peak", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    case = of_moonshine(options.moonshine) if options.moonshine else of_reference()
    if options.peak:
        print(_peak_kb(case, options.peak, options.device))
        return
    about = {"case": case.name, "device": options.device, "machine": machine.describe(options.device)}
    found = seconds(case, options.device)
    with ThreadPoolExecutor() as pool:
        found["peak_mb"] = dict(zip(KINDS, pool.map(peak_mb, KINDS), strict=True))
    ratios = {what: {kind: found[what][kind] / found[what]["full"] for kind in KINDS} for what in case.bars}
    for what, by_kind in ratios.items():
        print(what, ", ".join(f"{kind} {found[what][kind]:.4g} ({ratio:.2f})" for kind, ratio in by_kind.items()))
    if options.json:
        write(options.json, {**about, "steps": case.steps, **found, "ratios": ratios, "bars": case.bars})
    missed = [(what, kind) for what, bar in case.bars.items() for kind in KINDS if ratios[what][kind] > bar]
    sys.exit(f"above the bar: {missed}" if missed else 0)


if __name__ == "__main__":
    main()
