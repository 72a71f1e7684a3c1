"""Judge a stage of a rollout by what devices report: go on, wait for more, or abort.

Who reported what is left to `difference` and to the catalogue, the bounds to `boundary`, moving devices to the rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from diffserver.choices.rollouts import LEAST, MARGIN, MOST_FAILURES
from diffserver.errors import Invalid
from diffserver.gate.boundary import evidence, half_width
from diffserver.gate.difference import Difference

Finding = Literal["pass", "no evidence of harm", "inconclusive", "harm"]

_PATIENCE = 80
"""More reports are thought of up to 1.1 to the power of this."""


@dataclass(frozen=True)
class Terms:
    """What an operator asks of a version, and how often the gate may err; raises Invalid."""

    margin: float = MARGIN
    small: float = 0.1
    """The share of a channel that a version may reach without having passed."""
    least: int = LEAST
    most_failures: float = MOST_FAILURES
    false_abort: float = 0.005
    """The probability that a version that does no harm is aborted, for a whole rollout."""
    false_pass: float = 0.025
    """The probability that a stage passes a version that is worse by the margin."""

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.least < 2:
            raise Invalid("a gate needs a margin above 0 and at least 2 devices", "raise it")
        for name in ("most_failures", "false_abort", "false_pass"):
            if not 0 < getattr(self, name) < 0.5:
                raise Invalid(f"{name} is {getattr(self, name)}", "give a share above 0 and below 0.5")


@dataclass(frozen=True)
class Verdict:
    """What a stage's reports say of a version."""

    finding: Finding
    reason: str
    """Why, and what is missing."""
    low: float = -math.inf
    """The least worsening that the reports leave possible, in points."""
    high: float = math.inf
    """The most worsening that they leave possible, in points."""


@dataclass(frozen=True)
class Reports:
    """What is known of one stage."""

    tried: int
    """The number of devices that tried the version."""
    failed: int
    """The number of these at which it failed by its own or the device's fault: not by network or server."""
    fleet: Difference
    """The difference that the version makes to all devices."""
    groups: Mapping[str, Difference] = field(default_factory=dict)
    """The same for parts of the fleet, by name."""


def judge(reports: Reports, terms: Terms, stages: int) -> Verdict:
    """Return the verdict on one of `stages` stages, at any time and as often as one likes.

    The probability of a false abort is shared by the stages, and there by failures, the fleet and its groups.
    """
    alpha = terms.false_abort / stages / (3 if reports.groups else 2)
    if (fails := _fails(reports, terms, alpha)) is not None:
        return fails
    for name, difference in reports.groups.items():
        verdict = _of(difference, terms, alpha / len(reports.groups))
        if verdict.finding == "harm":
            return replace(verdict, reason=f"{name}: {verdict.reason}")
    return _of(reports.fleet, terms, alpha)


def judge_failures(reports: Reports, terms: Terms, stages: int, least: int) -> Verdict:
    """Return the verdict on a stage by failures alone, where at least so many devices must have tried the version."""
    if (fails := _fails(reports, terms, terms.false_abort / stages)) is not None:
        return fails
    told = f"{reports.failed} of {reports.tried} devices failed with it"
    if reports.tried < least:
        return Verdict("inconclusive", f"{told}, and {least} must have tried it")
    return Verdict("no evidence of harm", told)


def goes_on(verdict: Verdict, reach: float, terms: Terms) -> bool:
    """Tell whether a version with this verdict may go on to this share of its channel (0 to 1)."""
    return verdict.finding == "pass" or (verdict.finding == "no evidence of harm" and reach <= terms.small)


def _fails(reports: Reports, terms: Terms, alpha: float) -> Verdict | None:
    if evidence(reports.failed, reports.tried, terms.most_failures) < 1 / alpha:
        return None
    return Verdict("harm", f"{reports.failed} of {reports.tried} devices failed with it")


def _of(difference: Difference, terms: Terms, alpha: float) -> Verdict:
    """Return the verdict on a difference, with `alpha` the probability of finding harm where there is none."""
    few = min(difference.moved, difference.control)
    if few < terms.least:
        side = "with" if difference.moved == few else "without"
        return Verdict("inconclusive", f"{few} devices {side} the version have reported, and {terms.least} must")
    low = difference.value - half_width(difference.error, difference.freedom, alpha, 2 * terms.margin)
    high = _high(difference, terms)
    if high < terms.margin:
        return Verdict("pass", f"worse by less than {terms.margin:g} points", low, high)
    if low > 0:
        return Verdict("harm", f"worse by {low:.2f} points or more", low, high)
    return Verdict("no evidence of harm", _missing(difference, terms), low, high)


def _high(difference: Difference, terms: Terms) -> float:
    width = half_width(difference.error, difference.freedom, terms.false_pass, terms.margin)
    return difference.value + width


def _missing(difference: Difference, terms: Terms) -> str:
    """Say how many more reports would let the version pass, if it is as good as it looks."""
    for times in (1.1**power for power in range(1, _PATIENCE)):
        if _high(replace(difference, error=difference.error / math.sqrt(times)), terms) < terms.margin:
            return f"{times:.1f} times as many reports would let it pass, if it is as good as it looks"
    return f"it looks worse by {difference.value:.2f} points, which reports will not settle: a person has to"
