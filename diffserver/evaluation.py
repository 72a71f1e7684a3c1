"""Evaluation: errors by domain, their rates and means, and the rules by which a candidate is refused.

The figures come from the task, which measures with the device's own code. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffclient.measure.error_count import Errors
from diffclient.release.metric import Metric

Evaluation = Mapping[str, Errors]
"""Errors on each domain's test set."""


def error_rate(errors: Errors) -> float:
    """Return the share of errors, in percent."""
    return 100 * errors.errors / max(1, errors.total)


def mean_error_rate(evaluation: Evaluation) -> float:
    """Return the mean of the test sets' error rates, in percent: every domain weighs the same."""
    return sum(map(error_rate, evaluation.values())) / max(1, len(evaluation))


def recovered(parent: float, full: float, published: float) -> float:
    """Return the share of full retraining's gain on the new domain that the published version has."""
    return (parent - published) / (parent - full) if parent > full else 1.0


def regressions(before: Evaluation, after: Evaluation) -> dict[str, float]:
    """Return the error rate after minus before, in points, on each test set that both have."""
    return {domain: error_rate(after[domain]) - error_rate(before[domain]) for domain in before if domain in after}


@dataclass(frozen=True)
class Bounds:
    """The bounds of a candidate; None leaves a bound out."""

    budget: float
    """The most payload bytes, as a share of the fp32 snapshot's."""
    max_regression: float | None
    """The most points of error rate that an earlier domain may lose."""
    max_drift_ppm: int
    """The most that the error rate on the base's probes may exceed version 0's: devices refuse more."""


def refusals(
    bounds: Bounds, metric: Metric, payload_share: float, earlier: Mapping[str, float], probe_drift_ppm: int
) -> list[str]:
    """Return a line for each bound that a candidate breaks; `earlier` are regressions on earlier domains."""
    reasons = []
    if payload_share > bounds.budget:
        reasons.append(f"payload is {payload_share:.2%} of the model, over the budget of {bounds.budget:.2%}")
    for domain, points in earlier.items():
        if bounds.max_regression is not None and points > bounds.max_regression:
            reasons.append(f"{domain} loses {points:.2f} points of {metric.name}, more than {bounds.max_regression:g}")
    if probe_drift_ppm > bounds.max_drift_ppm:
        reasons.append(
            f"{metric.name} on the base's probes rises by {probe_drift_ppm / 1e4:.2f} points over version 0's, more "
            f"than the {bounds.max_drift_ppm / 1e4:g} that devices accept"
        )
    return reasons


def to_json(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Return a candidate's evaluation beside its parent's, by domain, as plain JSON values."""
    return {
        domain: {"parent": _plain(before.get(domain)), "candidate": _plain(errors)} for domain, errors in after.items()
    }


def from_json(value: Mapping[str, Any], side: str) -> Evaluation:
    """Return one side (`parent` or `candidate`) of a value from `to_json`, without the domains that it lacks."""
    return {domain: Errors(**pair[side]) for domain, pair in value.items() if pair[side] is not None}


def _plain(errors: Errors | None) -> dict[str, int] | None:
    return None if errors is None else {"errors": errors.errors, "total": errors.total}
