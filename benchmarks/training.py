"""Measure the seconds of training a diff against those of full retraining of the same update.

It trains the first update of the demo's data by the default recipes, from untrained weights, since a step takes as long
with any weights: `python -m benchmarks.training`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import machine
from diffclient.diff.streams import Diff
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import enter_grid
from diffserver.choices.methods import DEFAULT, FULL, Use, method_names
from diffserver.methods.definition import load_definition
from diffserver.methods.setting import Setting
from diffserver.tasks import Task, load_task
from diffserver.tasks.asr.reference import make_reference
from diffserver.training.batches import Lesson
from diffserver.training.loop import train

METHODS = method_names(Use.TRAINING)
BUDGET = 0.02
BAR = 1.5
"""The largest ratio of the seconds of a sparse diff, the default, to those of full retraining."""


@dataclass(frozen=True)
class Costs:
    """Seconds of each round, by method."""

    rounds: Sequence[Mapping[str, float]]

    def ratio(self, method: str) -> float:
        """Return the median over the rounds of a method's seconds divided by full retraining's."""
        return statistics.median(seconds[method] / seconds[FULL] for seconds in self.rounds)


def seconds(task: Task, method: str, lesson: Lesson, shorter: float = 1.0) -> float:
    """Return the seconds from setup to the encoded payload; `shorter` divides the number of steps."""
    network, definition = task.network(0), load_definition(method)
    recipe = definition.recipe
    assert recipe is not None, "what a request may train is trained"
    table, parent = enter_grid({name: tensor.detach().numpy() for name, tensor in network.state_dict().items()})
    start = time.perf_counter()
    trained = definition.make(Setting(parent, table, BUDGET, 0, network))
    train(task, network, trained, lesson, replace(recipe, steps=round(recipe.steps / shorter)), device="cpu")
    result = trained.result()
    if isinstance(result, Diff):
        encode(result, table, "0" * 64)
    return time.perf_counter() - start


def measure(task: Task, lesson: Lesson, rounds: int, shorter: float = 1.0) -> Costs:
    """Return every method's seconds in each of the rounds."""
    rounds_costs = []
    for number in range(1, rounds + 1):
        costs = {}
        for method in METHODS:
            sys.stderr.write(f"\rround {number} of {rounds}: {method}   ")
            costs[method] = seconds(task, method, lesson, shorter)
        rounds_costs.append(costs)
    sys.stderr.write("\n")
    return Costs(rounds_costs)


def main() -> None:
    """Measure, print, and exit with status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("build/demo"), help="Where the corpus is, or is made.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    options = parser.parse_args()
    task, machine_facts = load_task("asr"), machine.describe()
    data = make_reference(options.folder, 1, quick=False, on_progress=_show_progress)
    new, earlier = (task.examples(data / domain, "train") for domain in ("1-athletes", "0-base"))
    costs = measure(task, Lesson(new, [earlier]), options.rounds)
    for method in METHODS:
        times = ", ".join(f"{seconds_by_method[method]:.1f}" for seconds_by_method in costs.rounds)
        print(f"{method}: {costs.ratio(method):.2f} times full retraining ({times} s)")
    if options.json:
        ratios = {method: costs.ratio(method) for method in METHODS}
        figures = {"machine": machine_facts, "rounds": costs.rounds, "ratios": ratios, "bar": BAR}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(f"{DEFAULT}: more than {BAR}" if costs.ratio(DEFAULT) > BAR else 0)


def _show_progress(_: float, message: str) -> bool:
    sys.stderr.write(f"\r{message}   ")
    return True


if __name__ == "__main__":
    main()
