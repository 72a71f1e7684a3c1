"""Means, regressions, and the bounds that candidates keep to."""

from __future__ import annotations

import pytest

from diffclient.measure.error_count import Errors
from diffclient.release.metric import Metric
from diffserver.evaluation import Bounds, mean_error_rate, recovered, refusals, regressions

ERRORS = Metric("mistakes", "birds")


def test_every_domain_weighs_the_same_in_the_mean() -> None:
    assert mean_error_rate({"small": Errors(1, 10), "large": Errors(0, 1000)}) == 5.0


def test_a_candidate_is_refused_for_each_bound_that_it_breaks() -> None:
    earlier = regressions({"a": Errors(1, 100), "b": Errors(5, 100)}, {"a": Errors(4, 100), "b": Errors(5, 100)})
    bounds = Bounds(budget=0.02, max_regression=2.0, max_drift_ppm=100_000)
    assert refusals(bounds, ERRORS, 0.02, {"b": earlier["b"]}, 100_000) == []
    reasons = refusals(bounds, ERRORS, 0.021, earlier, 100_001)
    assert [line.split()[0] for line in reasons] == ["payload", "a", "mistakes"]
    assert reasons[1] == "a loses 3.00 points of mistakes, more than 2"
    assert refusals(Bounds(0.02, None, 0), ERRORS, 0.01, {"a": 99.0}, 0) == []


@pytest.mark.parametrize(("parent", "full", "published", "share"), [(80, 8, 44, 0.5), (5, 5, 9, 1.0), (5, 8, 9, 1.0)])
def test_recovery_is_whole_where_full_retraining_gains_nothing(
    parent: float, full: float, published: float, share: float
) -> None:
    assert recovered(parent, full, published) == share
