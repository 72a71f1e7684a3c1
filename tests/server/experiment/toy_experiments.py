"""An experiment on points in a plane of many dimensions: a task with files, and runs over it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from diffclient.measure.error_count import Errors
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.choices.methods import FULL
from diffserver.experiment import chain
from diffserver.experiment.cache import Cache
from diffserver.experiment.plan import Plan, entries, find_domains
from diffserver.experiment.results import Results
from diffserver.experiment.version_bench import Bench
from diffserver.methods.definition import load_definition
from diffserver.methods.recipe import Recipe
from tests.server.points import Point, PointsTask

METHODS = (
    "sparse:steps=60,learning_rate=0.02",
    "hashed:steps=60,learning_rate=0.02",
    "topk",
    "topk-tuned",
    "bitdelta",
    "lora",
    "pruned",
    "factorised",
)
DOMAINS = ((0, 1, 2, 3, 4), (5,), (6,), (7,))


class FiledPoints(PointsTask):
    """Points of a domain's folder: `train.jsonl` and `test.jsonl` hold classes, count and seed, and so do probes."""

    def examples(self, folder: Path, split: str) -> list[Point]:
        drawn = json.loads((folder / f"{split}.jsonl").read_text())
        return self.domain(drawn["labels"], drawn["count"], drawn["seed"])

    def graph(self, network: nn.Module) -> bytes:
        return b""

    def session(self, graph: bytes, weights: Snapshot) -> dict[str, Array]:
        return weights.read_all()

    def measure(self, session: dict[str, Array], examples: Sequence[Point]) -> Errors:
        return self.errors(session, examples)

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        return (folder / f"{split}.jsonl").read_bytes()

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        drawn = (json.loads(part.read_text()) for part in parts)
        sets = (self.domain(part["labels"], part["count"], part["seed"]) for part in drawn)
        return [self.errors(weights.read_all(), examples) for examples in sets]


def write_domain(folder: Path, labels: Sequence[int], seed: int) -> None:
    folder.mkdir(parents=True)
    for split, count in (("train", 200), ("test", 60)):
        drawn = {"labels": list(labels), "count": count, "seed": seed + 100 * (split == "test")}
        (folder / f"{split}.jsonl").write_text(json.dumps(drawn))


def write_domains(folder: Path) -> Path:
    """The base's domain and three updates'."""
    for number, labels in enumerate(DOMAINS):
        write_domain(folder / f"{number}-classes", labels, seed=number)
    return folder


def planned(data: Path, *methods: str, budget: float = 0.15, updates: int = 2, seeds: tuple[int, ...] = (0,)) -> Plan:
    recipe = Recipe(steps=60, learning_rate=0.02, batch=16)
    chosen = tuple(
        replace(entry, definition=replace(entry.definition, recipe=entry.definition.recipe and recipe))
        if ":" not in entry.label
        else entry
        for entry in entries(methods, [budget])
    )
    full = replace(load_definition(FULL), recipe=recipe)
    return Plan("points", find_domains(data, updates), chosen, seeds, base=full, full=full, device="cpu")


def run(toy_plan: Plan, folder: Path, heard: list[str] | None = None, any_code: bool = False) -> Results:
    def hear(done: float, message: str) -> None:
        assert 0 <= done <= 1
        if heard is not None:
            heard.append(message)

    results = Results()
    for result in chain.run(Bench(FiledPoints(), toy_plan, Cache(folder, any_code), hear)):
        results = results.plus(result)
    return results
