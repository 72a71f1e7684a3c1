"""The search for a payload: which training comes next, and which one is kept. Pure: rules on figures of what was tried.

What is kept is chosen from what was measured; estimates, which may be wrong, only say what to try. Training is left
to `trials`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffclient.release.metric import Metric
from diffserver.catalog.training_request import BUDGET
from diffserver.choices.methods import FULL
from diffserver.pipeline.size_estimate import Point, share_for, share_on_line

MOST_TRAININGS = 3
"""What one request may cost, the fully retrained model included."""

WORTHWHILE = 0.9
"""The share of the smallest payload that holds, which another one must promise to be worth a training."""


@dataclass(frozen=True)
class Goal:
    """The aim of a search: of these methods, the least errors in the budget, or the least payload within a drift."""

    methods: tuple[str, ...]
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
class NextTraining:
    """A training to be done."""

    method: str
    budget: float | None
    """None for the fully retrained model, which drift is held against."""


@dataclass(frozen=True)
class Trial:
    """A training and what came of it, as devices compute it; error rate in percent, drift and regression in points."""

    method: str
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

    def holds(self, goal: Goal) -> bool:
        """Tell whether the trial keeps to all bounds."""
        if self.payload_share > goal.budget:
            return False
        if goal.max_regression is not None and (self.regression or 0.0) > goal.max_regression:
            return False
        return goal.max_drift is None or (self.drift is not None and self.drift <= goal.max_drift)


def next_training(goal: Goal, trials: Sequence[Trial]) -> NextTraining | None:
    """Return the training to do after these trials, or None when no other is worth it."""
    left = goal.trainings - sum(trial.trained for trial in trials)
    if left == 0:
        return None
    if goal.max_drift is not None and not any(trial.method == FULL for trial in trials):
        return NextTraining(FULL, None)
    diffs = _wanted(goal, trials)
    fresh = next((method for method in goal.methods if all(trial.method != method for trial in diffs)), None)
    if fresh is not None:
        return NextTraining(fresh, None if fresh == FULL else _first_budget(goal, diffs, left))
    return None if goal.max_drift is None else _better(goal, diffs, left)


def choose(goal: Goal, trials: Sequence[Trial]) -> Trial:
    """Return the trial to keep: of those that hold all bounds if there are any, else the one that drifts least."""
    diffs = _wanted(goal, trials)
    held = [trial for trial in diffs if trial.holds(goal)]
    if goal.max_drift is None:
        return min(held or diffs, key=lambda trial: (trial.mean_error_rate, trial.payload_share))
    if held:
        return min(held, key=lambda trial: (trial.payload_share, trial.mean_error_rate))
    return min(diffs, key=lambda trial: (_drift(trial), trial.payload_share))


def refusal(goal: Goal, trials: Sequence[Trial], metric: Metric) -> str | None:
    """Say which drift the chosen trial has and what would help, if it has too much; else None."""
    chosen = choose(goal, trials)
    if goal.max_drift is None or _drift(chosen) <= goal.max_drift:
        return None
    needed = share_on_line(_point(goal, chosen), goal.max_drift, goal.max_drift)
    share = f"about {needed:.1%}" if needed < 1 else "the whole model"
    return (
        f"drift is {_drift(chosen):.2f} points of mean {metric.name} over the fully retrained model, more than "
        f"{goal.max_drift:g}: a larger budget ({share}, by a rough estimate) or longer training may hold it"
    )


def _wanted(goal: Goal, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that may be kept: trained for this request, by a method that was asked for."""
    return [trial for trial in trials if trial.trained and trial.method in goal.methods]


def _first_budget(goal: Goal, others: Sequence[Trial], left: int) -> float:
    """Return the budget of a method's first training: the usual one, or what another method's trials point to."""
    if goal.max_drift is None:
        return goal.budget
    if not others:
        return _within(goal, BUDGET)
    return _pointed(goal, others, _is_last_chance(goal, others, left)) or goal.budget


def _better(goal: Goal, diffs: Sequence[Trial], left: int) -> NextTraining | None:
    """The method that promises the smallest payload, if it is worth a training."""
    methods = {method: [trial for trial in diffs if trial.method == method] for method in goal.methods}
    last_chance = _is_last_chance(goal, diffs, left)
    pointed = {method: _pointed(goal, own, last_chance) for method, own in methods.items()}
    ways = [NextTraining(method, budget) for method, budget in pointed.items() if budget is not None]
    least = min((trial.payload_share for trial in diffs if trial.holds(goal)), default=math.inf)
    best = min(ways, key=lambda way: way.budget or 0.0, default=None)
    return best if best and (best.budget or 0.0) < WORTHWHILE * least else None


def _is_last_chance(goal: Goal, diffs: Sequence[Trial], left: int) -> bool:
    """Tell whether nothing holds so far: then the last training gets all of the budget."""
    return left == 1 and not any(trial.holds(goal) for trial in diffs)


def _pointed(goal: Goal, trials: Sequence[Trial], last_chance: bool) -> float | None:
    """The budget that these trials point to; None if even all of it was too little."""
    assert goal.max_drift is not None
    if not any(trial.holds(goal) for trial in trials) and any(trial.budget == goal.budget for trial in trials):
        return None
    if last_chance:
        return goal.budget
    return _within(goal, share_for([_point(goal, trial) for trial in trials], goal.max_drift))


def _within(goal: Goal, budget: float) -> float:
    return min(goal.budget, max(goal.least_budget, budget))


def _point(goal: Goal, trial: Trial) -> Point:
    return Point(trial.payload_share, _drift(trial), trial.holds(goal))


def _drift(trial: Trial) -> float:
    return math.inf if trial.drift is None else trial.drift
