"""What training a diff costs beside full retraining of the same update: seconds of each, in turn, and their ratios.

The first update of the demo's data, by the recipes that the product has: `python -m benchmarks.training`. It starts
from weights that nobody trained, as a step takes as long whatever the weights.
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
from diffserver.method_registry import DEFAULT, FULL, Use, names
from diffserver.methods.definition import load_definition
from diffserver.methods.setting import Setting
from diffserver.tasks import Task, load_task
from diffserver.tasks.asr.reference import make_reference
from diffserver.training.loop import Lesson, train

METHODS = names(Use.TRAINING)
BUDGET = 0.02
BAR = 1.5
"""The most seconds of a sparse diff, which is the default, over those of full retraining."""


@dataclass(frozen=True)
class Costs:
    """Seconds of each round, by method."""

    rounds: Sequence[Mapping[str, float]]

    def ratio(self, method: str) -> float:
        """The median over the rounds of a method's seconds over full retraining's in the same round."""
        return statistics.median(seconds[method] / seconds[FULL] for seconds in self.rounds)


def seconds(task: Task, method: str, lesson: Lesson, shorter: float = 1.0) -> float:
    """Train from scratch to the encoded payload, for as many times fewer steps as `shorter` says."""
    network, definition = task.network(0), load_definition(method)
    recipe = definition.recipe
    assert recipe is not None, "what a request may train is trained"
    table, parent = enter_grid({name: tensor.detach().numpy() for name, tensor in network.state_dict().items()})
    began = time.perf_counter()
    trained = definition.make(Setting(parent, table, BUDGET, 0, network))
    train(task, network, trained, lesson, replace(recipe, steps=round(recipe.steps / shorter)), device="cpu")
    result = trained.result()
    if isinstance(result, Diff):
        encode(result, table, "0" * 64)
    return time.perf_counter() - began


def measure(task: Task, lesson: Lesson, rounds: int, shorter: float = 1.0) -> Costs:
    """Take every method's seconds in turn, as often as there are rounds."""
    found = []
    for number in range(1, rounds + 1):
        costs = {}
        for method in METHODS:
            sys.stderr.write(f"\rround {number} of {rounds}: {method}   ")
            costs[method] = seconds(task, method, lesson, shorter)
        found.append(costs)
    sys.stderr.write("\n")
    return Costs(found)


def main() -> None:
    """Measure, print, and end with status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("build/demo"), help="Where the corpus is, or is made.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    asked = parser.parse_args()
    task, about = load_task("asr"), machine.describe()
    data = make_reference(asked.folder, 1, quick=False, on_progress=_hear)
    new, earlier = (task.examples(data / domain, "train") for domain in ("1-athletes", "0-base"))
    costs = measure(task, Lesson(new, [earlier]), asked.rounds)
    for method in METHODS:
        each = ", ".join(f"{took[method]:.1f}" for took in costs.rounds)
        print(f"{method}: {costs.ratio(method):.2f} times full retraining ({each} s)")
    if asked.json:
        ratios = {method: costs.ratio(method) for method in METHODS}
        found = {"machine": about, "rounds": costs.rounds, "ratios": ratios, "bar": BAR}
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(f"{DEFAULT}: more than {BAR}" if costs.ratio(DEFAULT) > BAR else 0)


def _hear(_: float, message: str) -> bool:
    sys.stderr.write(f"\r{message}   ")
    return True


if __name__ == "__main__":
    main()
