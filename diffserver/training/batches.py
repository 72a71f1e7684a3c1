"""The batches of a training: new examples and replayed ones, each group of about equal size, drawn at random.

They can go on from a state, as if they had been drawn without a break. What a batch becomes is left to the task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffserver.methods.recipe import Recipe
from diffserver.tasks import Batch, Example, Forward

SORTED_TOGETHER = 16  # batches' worth of examples that are sorted by size before they are cut into batches

Place = tuple[int, int]
"""Where an example stands: the number of its domain among those of its group, and its own in there."""


class Subject(Protocol):
    """The part of a task that training needs."""

    def size(self, example: Example) -> int:
        """Return an example's size."""

    def batch(self, examples: Sequence[Example], rng: np.random.Generator, device: str) -> Batch:
        """Return these examples as one training batch on `device`, augmented with `rng`."""

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a differentiable scalar."""


@dataclass(frozen=True)
class Lesson:
    """The new domain's examples, and those of each earlier domain for replay."""

    new: Sequence[Example]
    earlier: Sequence[Sequence[Example]] = ()


def steps_of(lesson: Lesson, recipe: Recipe) -> int:
    """Return the number of steps that a recipe takes for a lesson."""
    if recipe.epochs is None:
        return recipe.steps
    return math.ceil(recipe.epochs * len(lesson.new) / (recipe.batch - _replayed(lesson, recipe)))


def _replayed(lesson: Lesson, recipe: Recipe) -> int:
    """Return the number of examples in a batch that come from earlier domains."""
    return min(recipe.batch - 1, round(recipe.batch * recipe.replay)) if any(map(len, lesson.earlier)) else 0


class Batches:
    """One batch after another, without end."""

    def __init__(self, task: Subject, lesson: Lesson, recipe: Recipe, rng: np.random.Generator) -> None:
        self._rng, replayed = rng, _replayed(lesson, recipe)
        self._groups = [_Group(task, [lesson.new], lambda: 0, recipe.batch - replayed, rng)]
        if replayed:
            domains = [examples for examples in lesson.earlier if len(examples)]
            self._groups.append(_Group(task, domains, _taking_turns(domains, rng), replayed, rng))

    def draw(self) -> list[Example]:
        """Return the next batch."""
        return [example for group in self._groups for example in group.draw()]

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on, the random generator's state among it."""
        return {"rng": self._rng.bit_generator.state, "groups": [group.state() for group in self._groups]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of batches of the same lesson and recipe."""
        self._rng.bit_generator.state = state["rng"]
        for group, its_state in zip(self._groups, state["groups"], strict=True):
            group.restore(its_state)


def _taking_turns(domains: Sequence[Sequence[Example]], rng: np.random.Generator) -> Callable[[], int]:
    """Return what draws a domain, by the square roots of the domains' sizes."""
    roots = np.sqrt([len(examples) for examples in domains])
    return lambda: int(rng.choice(len(domains), p=roots / roots.sum()))


class _Group:
    """Batches of examples of about equal size, of one or several domains, of which `choose` draws one each time."""

    def __init__(
        self,
        task: Subject,
        domains: Sequence[Sequence[Example]],
        choose: Callable[[], int],
        size: int,
        rng: np.random.Generator,
    ) -> None:
        self._task, self._domains, self._choose, self._size, self._rng = task, domains, choose, size, rng
        self._left: list[list[int]] = [[] for _ in domains]
        """By domain, the numbers of the examples that come before any comes again, the next one last."""
        self._pool: list[tuple[Place, Example]] = []
        """The examples that are cut into batches."""
        self._order: list[int] = []
        """Which of these batches are to come, the next one last."""

    def draw(self) -> list[Example]:
        """Return the next batch."""
        if not self._order:
            drawn = [self._at(self._place()) for _ in range(SORTED_TOGETHER * self._size)]
            self._pool = sorted(drawn, key=lambda at: self._task.size(at[1]))
            self._order = self._rng.permutation(SORTED_TOGETHER)[::-1].tolist()
        start = self._order.pop() * self._size
        return [example for _, example in self._pool[start : start + self._size]]

    def state(self) -> dict[str, Any]:
        left = [torch.tensor(numbers, dtype=torch.int64) for numbers in self._left]
        pool = torch.tensor([place for place, _ in self._pool], dtype=torch.int64)
        return {"left": left, "pool": pool, "order": list(self._order)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._left = [numbers.tolist() for numbers in state["left"]]
        self._pool = [self._at((domain, number)) for domain, number in state["pool"].tolist()]
        self._order = list(state["order"])

    def _place(self) -> Place:
        domain = self._choose()
        if not self._left[domain]:
            self._left[domain] = self._rng.permutation(len(self._domains[domain]))[::-1].tolist()
        return domain, self._left[domain].pop()

    def _at(self, place: Place) -> tuple[Place, Example]:
        domain, number = place
        return place, self._domains[domain][number]
