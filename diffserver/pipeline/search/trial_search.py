"""The search for a payload: the next training, and the choice among trials. Pure: rules on the figures of trials.

The choice goes by measurements alone; estimates, which may be wrong, only decide the next training. Training is left
to `trials`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffclient.release.metric import Metric
from diffserver.catalog.training_request import BUDGET
from diffserver.choices.methods import EXACT, FULL
from diffserver.pipeline.search.size_estimate import Point, share_for, share_on_line

MOST_TRAININGS = 3
"""The most trainings of one request with a bound on drift, the fully retrained model included."""

MOST_OF_CHECKPOINT = 6
"""The most trials of one checkpoint, itself included: nothing is trained in them."""

REFERENCES = {FULL: ("the fully retrained model", " or longer training"), EXACT: ("the checkpoint", "")}
"""What drift may be measured against, by its method, and what may lower it beside a larger budget."""

WORTHWHILE = 0.9
"""A further training must promise a payload below this share of the smallest one that holds."""


@dataclass(frozen=True)
class Goal:
    """The aim of a search: of these methods, the least errors in the budget, or the least payload within a drift."""

    methods: tuple[str, ...]
    budget: float
    """The most payload bytes, as a share of the fp32 snapshot's."""
    max_drift: float | None = None
    """Points of mean error rate over the reference's."""
    max_regression: float | None = None
    """Points of error rate that an earlier domain may lose."""
    least_budget: float = 0.0
    """The least budget of a training, below which no payload fits."""
    reference: str = FULL
    """The method of the version that drift is measured against: fully retrained, or the checkpoint itself."""

    @property
    def trainings(self) -> int:
        """The most trainings of the search."""
        if self.max_drift is None:
            return len(self.methods)
        return MOST_TRAININGS if self.reference == FULL else MOST_OF_CHECKPOINT


@dataclass(frozen=True)
class NextTraining:
    """A training to be done."""

    method: str
    budget: float | None
    """None for the reference of drift."""


@dataclass(frozen=True)
class Trial:
    """A training and its figures, as devices compute them; error rate in percent, drift and regression in points."""

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
    """The number of different levels."""
    steps: tuple[float, float] | None = None
    """The least and the largest of the tensors' quantiser steps, as weights."""
    seconds: float | None = None
    trained: bool = True
    """Whether it was trained for this request, or else comes from the catalogue."""

    def holds(self, goal: Goal) -> bool:
        """Tell whether the trial holds all bounds."""
        if self.payload_share > goal.budget:
            return False
        if goal.max_regression is not None and (self.regression or 0.0) > goal.max_regression:
            return False
        return goal.max_drift is None or (self.drift is not None and self.drift <= goal.max_drift)


def next_training(goal: Goal, trials: Sequence[Trial]) -> NextTraining | None:
    """Return the next training after these trials; None if none is worth it."""
    trainings_left = goal.trainings - sum(trial.trained for trial in trials)
    if trainings_left == 0:
        return None
    if goal.max_drift is not None and not any(trial.method == goal.reference for trial in trials):
        return NextTraining(goal.reference, None)
    diffs = _eligible(goal, trials)
    untried = next((method for method in goal.methods if all(trial.method != method for trial in diffs)), None)
    if untried is not None:
        return NextTraining(untried, None if untried == FULL else _first_budget(goal, diffs, trainings_left))
    return None if goal.max_drift is None else _most_promising(goal, diffs, trainings_left)


def choose(goal: Goal, trials: Sequence[Trial]) -> Trial:
    """Return the trial to keep: the best of those that hold all bounds, or else the one that drifts least."""
    diffs = _eligible(goal, trials)
    holding = [trial for trial in diffs if trial.holds(goal)]
    if goal.max_drift is None:
        return min(holding or diffs, key=lambda trial: (trial.mean_error_rate, trial.payload_share))
    if holding:
        return min(holding, key=lambda trial: (trial.payload_share, trial.mean_error_rate))
    return min(diffs, key=lambda trial: (_drift(trial), trial.payload_share))


def refusal(goal: Goal, trials: Sequence[Trial], metric: Metric) -> str | None:
    """Return the refusal of a chosen trial that drifts too much, with a remedy; None if it does not."""
    trial = choose(goal, trials)
    if goal.max_drift is None or _drift(trial) <= goal.max_drift:
        return None
    needed = share_on_line(_point(goal, trial), goal.max_drift, goal.max_drift)
    share = f"about {needed:.1%}" if needed < 1 else "the whole model"
    reference, or_else = REFERENCES[goal.reference]
    return (
        f"drift is {_drift(trial):.2f} points of mean {metric.name} over {reference}, more than "
        f"{goal.max_drift:g}: a larger budget ({share}, by a rough estimate){or_else} may hold it"
    )


def _eligible(goal: Goal, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that may be kept: trained for this request, by one of its methods."""
    return [trial for trial in trials if trial.trained and trial.method in goal.methods]


def _first_budget(goal: Goal, trials: Sequence[Trial], trainings_left: int) -> float:
    """Return the budget of a method's first training: the usual one, or an estimate from another method's trials."""
    if goal.max_drift is None:
        return goal.budget
    if not trials:
        return _within(goal, BUDGET)
    return _estimated_budget(goal, trials, _is_last_chance(goal, trials, trainings_left)) or goal.budget


def _most_promising(goal: Goal, diffs: Sequence[Trial], trainings_left: int) -> NextTraining | None:
    """Return the training that promises the smallest payload; None if it is not worth it."""
    methods = {method: [trial for trial in diffs if trial.method == method] for method in goal.methods}
    last_chance = _is_last_chance(goal, diffs, trainings_left)
    budgets = {method: _estimated_budget(goal, own_trials, last_chance) for method, own_trials in methods.items()}
    trainings = [NextTraining(method, budget) for method, budget in budgets.items() if budget is not None]
    least = min((trial.payload_share for trial in diffs if trial.holds(goal)), default=math.inf)
    best = min(trainings, key=lambda training: training.budget or 0.0, default=None)
    return best if best and (best.budget or 0.0) < WORTHWHILE * least else None


def _is_last_chance(goal: Goal, diffs: Sequence[Trial], trainings_left: int) -> bool:
    """Tell whether this is the last training and no trial holds: then it gets all of the budget."""
    return trainings_left == 1 and not any(trial.holds(goal) for trial in diffs)


def _estimated_budget(goal: Goal, trials: Sequence[Trial], last_chance: bool) -> float | None:
    """Return the budget that these trials suggest; None if even all of it was too little."""
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
