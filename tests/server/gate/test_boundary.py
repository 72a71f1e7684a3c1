"""Bounds that hold at all looks together, against simulated evidence, exact sums and published quantiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.gate.boundary import evidence, half_width, student

MANY = 1e9
PATHS, LOOKS = 4000, 400
ALPHA = 0.025
MARGIN = 0.5


def paths() -> tuple[np.ndarray, np.ndarray]:
    """The information at each look, and estimates of 0 there, `[PATHS, LOOKS]`: from 1 to 600."""
    information = np.geomspace(1, 600, LOOKS)
    steps = np.diff(information, prepend=0.0)
    evidences = np.cumsum(np.random.default_rng(5).normal(size=(PATHS, LOOKS)) * np.sqrt(steps), axis=1)
    return information, evidences / information


def test_the_truth_is_beyond_at_any_look_with_probability_alpha() -> None:
    information, estimates = paths()
    widths = np.array([half_width(1 / math.sqrt(one), MANY, ALPHA, MARGIN) for one in information])
    beyond = np.mean((estimates > widths).any(axis=1))
    assert 0.2 * ALPHA < beyond < ALPHA + 3 * math.sqrt(ALPHA / PATHS)


@pytest.mark.parametrize("resolution", [0.2, 0.5, 2.0])
def test_it_is_tightest_at_its_resolution(resolution: float) -> None:
    errors = np.geomspace(0.01, 3, 400)
    widths = np.array([half_width(error, MANY, ALPHA, resolution) for error in errors])
    assert widths[np.argmin(widths / errors)] == pytest.approx(resolution, rel=0.25)


def test_an_interval_for_one_look_would_err_many_times_as_often() -> None:
    information, estimates = paths()
    assert np.mean((estimates > 1.96 / np.sqrt(information)).any(axis=1)) > 5 * ALPHA


@pytest.mark.parametrize(
    ("freedom", "normal", "quantile"), [(9, 2.5758, 3.2498), (30, 3.0902, 3.3852), (4, 1.96, 2.776)]
)
def test_few_devices_widen_a_bound_as_students_distribution_does(freedom: int, normal: float, quantile: float) -> None:
    assert student(normal, freedom) == pytest.approx(quantile, rel=0.01)
    assert half_width(0.2, freedom, ALPHA, MARGIN) > half_width(0.2, MANY, ALPHA, MARGIN)


@pytest.mark.parametrize("most", [0.01, 0.02, 0.2])
@pytest.mark.parametrize("tried", [1, 20, 100])
def test_evidence_is_1_in_the_mean_where_failures_are_at_their_most(most: float, tried: int) -> None:
    chances = [math.comb(tried, failed) * most**failed * (1 - most) ** (tried - failed) for failed in range(tried + 1)]
    mean = sum(chance * evidence(failed, tried, most) for failed, chance in enumerate(chances))
    assert mean == pytest.approx(1)


@given(st.integers(1, 5000), st.floats(0.001, 0.49), st.data())
def test_evidence_grows_with_failures(tried: int, most: float, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, tried - 1))
    assert 0 <= evidence(failed, tried, most) <= evidence(failed + 1, tried, most) < math.inf
