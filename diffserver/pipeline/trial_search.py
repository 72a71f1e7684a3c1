"""The search for a payload: which training comes next, and which one is kept. Pure: rules on figures of what was tried.

What is kept is chosen from what was measured; estimates, which may be wrong, only say what to try. Training is left
to `trials`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffclient.release.metric import Metric
from diffserver.catalog.training_request import BUDGET, MethodName
from diffserver.pipeline.size_estimate import Point, share_for, share_on_line

FULL: MethodName = "full"
"""The method that retrains every weight: no payload, and what drift is held against."""

MOST_TRAININGS = 3
"""What one request may cost, the fully retrained model included."""

WORTHWHILE = 0.9
"""The share of the smallest payload that holds, which another one must promise to be worth a training."""


@dataclass(frozen=True)
class Asked:
    """What is looked for: of these methods, the least errors in the budget, or the least payload within a drift."""

    methods: tuple[MethodName, ...]
    budget: float
    """The most payload bytes, as a share of the fp32 snapshot's."""
    max_drift: float | None = None
    """Points of mean error rate over the fully retrained model's."""
    max_regression: float | None = None
    """Points of error rate that an earlier domain may lose."""
    least_budget: float = 0.0
    """What no payload fits below."""

    @property
    def trainings(self) -> int:
        """How many trainings it may take."""
        return len(self.methods) if self.max_drift is None else MOST_TRAININGS


@dataclass(frozen=True)
class Next:
    """A training to be done."""

    method: MethodName
    budget: float | None
    """None for the fully retrained model."""


@dataclass(frozen=True)
class Try:
    """A training and what came of it, as devices compute it; error rate in percent, drift and regression in points."""

    method: MethodName
    budget: float | None
    mean_error_rate: float
    drift: float | None = None
    regression: float | None = None
    """The most that an earlier domain loses; below zero if all gain."""
    payload_bytes: int | None = None
    payload_share: float = 0.0
    density: float | None = None
    """The share of all weights that change."""
    levels: int | None = None
    """How many different ones."""
    steps: tuple[float, float] | None = None
    """The least and the largest of the tensors' quantiser steps, as weights."""
    seconds: float | None = None
    trained: bool = True
    """Whether it was trained for this request: else it stood in the catalogue."""

    def holds(self, asked: Asked) -> bool:
        """Whether it keeps to all bounds."""
        if self.payload_share > asked.budget:
            return False
        if asked.max_regression is not None and (self.regression or 0.0) > asked.max_regression:
            return False
        return asked.max_drift is None or (self.drift is not None and self.drift <= asked.max_drift)


def next_training(asked: Asked, tries: Sequence[Try]) -> Next | None:
    """Return the training to do after these tries, or None when no other is worth it."""
    left = asked.trainings - sum(one.trained for one in tries)
    if left == 0:
        return None
    if asked.max_drift is not None and not any(one.method == FULL for one in tries):
        return Next(FULL, None)
    diffs = _wanted(asked, tries)
    fresh = next((method for method in asked.methods if all(one.method != method for one in diffs)), None)
    if fresh is not None:
        return Next(fresh, None if fresh == FULL else _first_budget(asked, diffs, left))
    return None if asked.max_drift is None else _better(asked, diffs, left)


def choose(asked: Asked, tries: Sequence[Try]) -> Try:
    """Return the try to keep: of those that hold all bounds if there are any, else the one that drifts least."""
    diffs = _wanted(asked, tries)
    held = [one for one in diffs if one.holds(asked)]
    if asked.max_drift is None:
        return min(held or diffs, key=lambda one: (one.mean_error_rate, one.payload_share))
    if held:
        return min(held, key=lambda one: (one.payload_share, one.mean_error_rate))
    return min(diffs, key=lambda one: (_drift(one), one.payload_share))


def refusal(asked: Asked, tries: Sequence[Try], metric: Metric) -> str | None:
    """Say which drift the chosen try has and what would help, if it has too much; else None."""
    chosen = choose(asked, tries)
    if asked.max_drift is None or _drift(chosen) <= asked.max_drift:
        return None
    needed = share_on_line(_point(asked, chosen), asked.max_drift, asked.max_drift)
    share = f"about {needed:.1%}" if needed < 1 else "the whole model"
    return (
        f"drift is {_drift(chosen):.2f} points of mean {metric.name} over the fully retrained model, more than "
        f"{asked.max_drift:g}: a larger budget ({share}, by a rough estimate) or longer training may hold it"
    )


def _wanted(asked: Asked, tries: Sequence[Try]) -> list[Try]:
    """What may be kept: trained for this request, by a method that was asked for."""
    return [one for one in tries if one.trained and one.method in asked.methods]


def _first_budget(asked: Asked, others: Sequence[Try], left: int) -> float:
    """What a method begins with: the usual budget, or what another one's tries point to."""
    if asked.max_drift is None:
        return asked.budget
    if not others:
        return _within(asked, BUDGET)
    return _pointed(asked, others, _is_last_chance(asked, others, left)) or asked.budget


def _better(asked: Asked, diffs: Sequence[Try], left: int) -> Next | None:
    """The method that promises the smallest payload, if it is worth a training."""
    methods = {method: [one for one in diffs if one.method == method] for method in asked.methods}
    last_chance = _is_last_chance(asked, diffs, left)
    pointed = {method: _pointed(asked, own, last_chance) for method, own in methods.items()}
    ways = [Next(method, budget) for method, budget in pointed.items() if budget is not None]
    least = min((one.payload_share for one in diffs if one.holds(asked)), default=math.inf)
    best = min(ways, key=lambda way: way.budget or 0.0, default=None)
    return best if best and (best.budget or 0.0) < WORTHWHILE * least else None


def _is_last_chance(asked: Asked, diffs: Sequence[Try], left: int) -> bool:
    """Whether nothing holds so far: then the last training gets all of the budget."""
    return left == 1 and not any(one.holds(asked) for one in diffs)


def _pointed(asked: Asked, tries: Sequence[Try], last_chance: bool) -> float | None:
    """The budget that these tries point to; None if even all of it was too little."""
    assert asked.max_drift is not None
    if not any(one.holds(asked) for one in tries) and any(one.budget == asked.budget for one in tries):
        return None
    if last_chance:
        return asked.budget
    return _within(asked, share_for([_point(asked, one) for one in tries], asked.max_drift))


def _within(asked: Asked, budget: float) -> float:
    return min(asked.budget, max(asked.least_budget, budget))


def _point(asked: Asked, one: Try) -> Point:
    return Point(one.payload_share, _drift(one), one.holds(asked))


def _drift(one: Try) -> float:
    return math.inf if one.drift is None else one.drift
