"""Teach the reference recogniser its first update in a plain loop of torch, beside this package's own loop.

Batches are drawn and rates fall more simply there than here; all versions are measured by the device's code, on the
test sets of the base and of the update: `python -m benchmarks.loop_reference --json FILE`, which takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import machine
from benchmarks.loop import BUDGETS, Case, Version
from diffclient.tensors.snapshot import Snapshot
from diffserver.diffs import apply, sparse
from diffserver.methods.definition import Definition, load_definition
from diffserver.methods.parametrised import load
from diffserver.tasks import Task, load_task
from diffserver.tasks.asr.reference import make_reference
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version

STEPS, RATE, BATCH, NEW_SHARE, CLIP = 1250, 4e-3, 16, 0.4, 5.0


def plain(task: Task, network: nn.Module, lesson: Lesson, steps: int, budget: float, parent: Path, out: Path) -> int:
    """Train a sparse diff by a plain loop and save it; return its bytes."""
    diff, rng = sparse(network, budget, steps, parent=parent), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(diff.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.0)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.05)
    (earlier,) = lesson.earlier
    new = round(NEW_SHARE * BATCH)
    for _ in range(steps):
        chosen = [some[number] for some, count in ((lesson.new, new), (earlier, BATCH - new))
                  for number in rng.integers(0, len(some), count)]  # fmt: skip
        task.loss(network, task.batch(chosen, rng, "cpu")).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(diff.parameters(), CLIP)
        optimiser.step()
        diff.step()
        rates.step()
        optimiser.zero_grad()
    diff.save(out)
    return diff.bytes


def accuracy(task: Task, graph: bytes, version: Snapshot, tests: Sequence[Any]) -> float:
    """Return the share of words that the device's code recognises, the mean over the test sets."""
    session = task.session(graph, version)
    rates = [task.measure(session, test).error_rate_ppm / 1e6 for test in tests]
    return round(1 - sum(rates) / len(rates), 4)


def measure(corpus: Path, folder: Path, shorter: int) -> list[Case]:
    """Return the cases of both loops."""
    task = load_task("asr")
    data = make_reference(corpus, 1, quick=False, on_progress=_say)
    domains = [data / name for name in ("0-base", "1-athletes")]
    earlier, new = (task.examples(domain, "train") for domain in domains)
    tests = [task.examples(domain, "test") for domain in domains]
    graph = task.graph(task.network(0))

    def definition(name: str) -> Definition:
        found = load_definition(name)
        assert found.recipe is not None
        return found.shortened(found.recipe.steps // shorter)

    base = make_version(task, definition("base"), Lesson(earlier), folder / "0", seed=0, on_progress=_say)
    parent, lesson = Version(Snapshot(base.weights), base.digest), Lesson(new, [earlier])

    def by_package(name: str, budget: float) -> tuple[float, int]:
        made = make_version(
            task, definition(name), lesson, folder / f"{name}-{budget}", seed=1, parent=parent, budget=budget,
            on_progress=_say,
        )  # fmt: skip
        return accuracy(task, graph, Snapshot(made.weights), tests), len(made.payload or b"")

    def by_plain(budget: float) -> tuple[float, int]:
        network, diff, out = task.network(0), folder / f"{budget}.ndiff", folder / f"plain-{budget}"
        load(network, parent.snapshot.read_all())
        size = plain(task, network, lesson, STEPS // shorter, budget, base.weights, diff)
        apply(base.weights, diff, out)
        return accuracy(task, graph, Snapshot(out), tests), size

    before, (full, _) = accuracy(task, graph, parent.snapshot, tests), by_package("full", 1.0)
    cases = []
    for budget in BUDGETS:
        for loop, (after, size) in (("plain", by_plain(budget)), ("package", by_package("sparse", budget))):
            cases.append(Case(loop, "reference", budget, before, full, after, size))
            print(cases[-1], flush=True)
    return cases


def _say(_: float, message: str) -> bool:
    sys.stderr.write(f"\r{message}   ")
    return True


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo"), help="Where the corpus is, or is made.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    parser.add_argument("--shorter", type=int, default=1, metavar="N", help="Divide all steps, to see that it runs.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(options.folder, Path(folder), options.shorter)
    if options.json:
        figures = {"machine": machine.describe(), "cases": [asdict(case) for case in cases]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
