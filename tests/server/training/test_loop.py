"""The training loop: what it draws, that it is seeded, and how it stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffserver.methods.method import MethodError
from diffserver.methods.recipe import Recipe
from diffserver.training.batches import Lesson
from diffserver.training.loop import choose_device
from diffserver.training.progress import Cancelled
from tests.server.points import Point, PointsTask, retrained

RECIPE = Recipe(steps=20, learning_rate=0.01, batch=8)


class Watched(PointsTask):
    """Remembers the batches that it was asked for."""

    def __init__(self) -> None:
        self.batches: list[list[Point]] = []

    def batch(self, examples: Any, rng: np.random.Generator, device: str) -> tuple[Tensor, Tensor]:
        self.batches.append(list(examples))
        return super().batch(examples, rng, device)


class Forgetful(PointsTask):
    """Loses some of its input while training, at random."""

    def network(self, seed: int) -> nn.Module:
        first, *rest = super().network(seed).children()
        return nn.Sequential(first, nn.Sequential(rest[0], nn.Dropout(0.5)), rest[1])


def run(task: PointsTask, lesson: Lesson, recipe: Recipe = RECIPE, **options: Any) -> dict[str, Any]:
    return retrained(task, task.initial(), lesson, recipe, **options)


@pytest.mark.parametrize("changes", [{"optimiser": "sgd"}, {"weight_decay": 0.1}])
def test_a_recipe_chooses_optimiser_and_weight_decay(points: PointsTask, changes: dict[str, Any]) -> None:
    lesson = Lesson(points.domain([0, 1], 50, seed=1))
    usual, other = (run(points, lesson, recipe) for recipe in (RECIPE, replace(RECIPE, **changes)))
    assert not np.array_equal(usual["0.weight"], other["0.weight"])
    assert points.errors(other, lesson.new).errors < points.errors(points.initial(), lesson.new).errors


@pytest.mark.parametrize("kind", [PointsTask, Forgetful])
def test_the_same_seed_gives_the_same_weights(kind: type[PointsTask]) -> None:
    points = kind()
    lesson = Lesson(points.domain([0, 1], 50, seed=1), [points.domain([2], 50, seed=2)])
    first, again, other = (run(points, lesson, seed=seed) for seed in (4, 4, 5))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_the_networks_own_weights_are_not_used(points: PointsTask) -> None:
    lesson = Lesson(points.domain([0, 1], 50, seed=1))
    networks = [points.network(seed) for seed in (0, 1)]
    results = [retrained(points, points.initial(), lesson, RECIPE, network) for network in networks]
    assert np.array_equal(results[0]["0.weight"], results[1]["0.weight"])
    for network in networks:
        assert np.array_equal(network.state_dict()["0.weight"], points.initial()["0.weight"])
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_replay_draws_earlier_domains_by_the_roots_of_their_sizes() -> None:
    task = Watched()
    lesson = Lesson(task.domain([0], 30, seed=1), [task.domain([1], 900, seed=2), [], task.domain([2], 100, seed=3)])
    run(task, lesson, replace(RECIPE, steps=64, replay=0.75))
    drawn = Counter(point.label for batch in task.batches for point in batch)
    assert drawn[0] == 64 * 2
    assert drawn[1] + drawn[2] == 64 * 6
    assert 0.7 < drawn[1] / (64 * 6) < 0.8


def test_every_new_example_is_seen_once_an_epoch() -> None:
    task = Watched()
    lesson = Lesson(task.domain([0, 1], 64, seed=1), [task.domain([2], 10, seed=3)])
    run(task, lesson, replace(RECIPE, epochs=2, replay=0.5))
    seen = Counter(id(point) for batch in task.batches for point in batch)
    assert len(task.batches) == 2 * 64 / 4
    assert {seen[id(point)] for point in lesson.new} == {2}


def test_examples_of_about_equal_size_share_a_batch() -> None:
    task = Watched()
    run(task, Lesson(task.domain(range(8), 400, seed=1)), replace(RECIPE, steps=64))
    spans = [max(p.label for p in batch) - min(p.label for p in batch) for batch in task.batches]
    assert np.mean(spans) < 2


def test_progress_rises_and_stops_training(points: PointsTask) -> None:
    heard: list[float] = []

    def follow(done: float, message: str) -> bool:
        heard.append(done)
        assert "loss" in message
        return len(heard) < 7

    with pytest.raises(Cancelled, match="step 7 of 20"):
        run(points, Lesson(points.domain([0, 1], 50, seed=1)), on_progress=follow)
    assert heard == sorted(heard)
    assert len(heard) == 7


def test_nothing_to_learn_from_is_refused(points: PointsTask) -> None:
    with pytest.raises(MethodError, match="no examples"):
        run(points, Lesson([]))


def test_a_loss_that_is_not_finite_stops_training(points: PointsTask) -> None:
    broken = [Point(np.full(16, np.nan, np.float32), 0)]
    with pytest.raises(MethodError, match="not finite"):
        run(points, Lesson(broken))


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for number in range(torch.cuda.device_count()):
        assert choose_device(f"cuda:{number}") == f"cuda:{number}"


@pytest.mark.parametrize("name", ["tpu", f"cuda:{torch.cuda.device_count()}"])
def test_a_missing_device_is_named_beside_those_that_are_there(name: str) -> None:
    with pytest.raises(MethodError, match=f"'{name}' here: train with auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize("device", [f"cuda:{number}" for number in range(torch.cuda.device_count())])
def test_training_on_a_numbered_device_learns_the_same(points: PointsTask, device: str) -> None:
    lesson = Lesson(points.domain([0, 1], 50, seed=1))
    here, there = (run(points, lesson, device=name) for name in ("cpu", device))
    assert all(np.allclose(here[name], there[name], atol=1e-3) for name in here)
