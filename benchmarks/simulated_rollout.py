"""A rollout in numbers alone: a fleet that reports every day, stages, and a gate that is asked every day.

A reporting device sends the errors of a day's words. Its rate of errors is its own, changes by itself when the rollout
begins, and by the version's harm once the device has it. The counts are negative binomial: errors come in bunches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from diffserver.gate.difference import Difference, changes, compare
from diffserver.gate.judge import Reports, Terms, Verdict, goes_on

STAGES = (0.01, 0.1, 0.5, 1.0)

Judge = Callable[[Reports, Terms, int], Verdict]
End = Literal["completed", "aborted", "waits"]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fleet:
    """How a fleet reports, rates in points."""

    devices: int = 10_000
    reporting: float = 0.2
    """The share of devices that report."""
    deviation: float = 4.0
    """The standard deviation of the change that a device shows in a day."""
    lasting: float = 1.0
    """The part of it that does not fall out with more reports: what changes at a device for good."""
    rate: float = 12.0
    spread: float = 3.0
    """The standard deviation of rates between devices."""
    words: int = 200
    """The words of a day."""
    days_before: int = 28
    days_a_stage: int = 40
    """After so many days without a verdict that lets the version go on, a person has to decide."""
    failing: float = 0.003
    """The share of devices at which any version fails."""


@dataclass(frozen=True)
class Harm:
    """What a version does: so many points worse on so many of the devices."""

    points: float = 0.0
    share: float = 1.0
    by_group: bool = False
    """Whether an attribute tells which these are, and the gate is asked by it."""


@dataclass(frozen=True)
class Outcome:
    """The end of a rollout: the share of devices that the version reached, and the days that it took."""

    end: End
    reached: float
    days: int


def rollout(fleet: Fleet, harm: Harm, terms: Terms, judge: Judge, seed: int) -> Outcome:
    """Roll a version out until it is everywhere, aborted, or up to a person."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.permutation(fleet.devices)[: int(fleet.devices * fleet.reporting)]) / fleet.devices
    rates = np.clip(rng.normal(fleet.rate, fleet.spread, len(places)), 4, None)
    before = _errors(rng, rates, fleet, fleet.days_before)
    rates = rates + rng.normal(0, fleet.lasting, len(places))
    harmed = rng.random(len(places)) < harm.share
    days = 0
    for reached, following in itertools.pairwise(STAGES):
        moved = places < reached
        failed = int(rng.binomial(int(reached * fleet.devices), fleet.failing))
        after = np.zeros_like(before)
        for _ in range(fleet.days_a_stage):
            days += 1
            after = after + _errors(rng, rates + harm.points * (moved & harmed), fleet, 1)
            reports = _reports(before, after, moved, harmed if harm.by_group else None)
            verdict = judge(Reports(int(reached * fleet.devices), failed, *reports), terms, len(STAGES) - 1)
            if verdict.finding == "harm":
                return Outcome("aborted", reached, days)
            if goes_on(verdict, following, terms):
                break
        else:
            return Outcome("waits", reached, days)
    return Outcome("completed", 1.0, days)


def _errors(rng: np.random.Generator, rates: npt.NDArray[np.float64], fleet: Fleet, days: int) -> Counts:
    """Return errors and words of so many days, int64 `[devices, 2]`."""
    daily = (fleet.deviation**2 - fleet.lasting**2) / (1 + 1 / fleet.days_before)
    mean = np.clip(rates, 0.5, None) / 100 * fleet.words * days
    excess = np.maximum(daily * days * (fleet.words / 100) ** 2 - mean, 1e-9)
    errors = rng.negative_binomial(mean**2 / excess, mean / (mean + excess))
    return np.stack([errors, np.full(len(rates), fleet.words * days)], axis=1)


def _reports(
    before: Counts, after: Counts, moved: npt.NDArray[np.bool_], group: npt.NDArray[np.bool_] | None
) -> tuple[Difference, dict[str, Difference]]:
    """Return the difference between the devices that were moved and the others, and that within groups."""
    change = changes(before, after)
    groups = {} if group is None else {"the one": group, "the others": ~group}
    parts = {name: compare(change[moved & part], change[~moved & part]) for name, part in groups.items()}
    return compare(change[moved], change[~moved]), parts
