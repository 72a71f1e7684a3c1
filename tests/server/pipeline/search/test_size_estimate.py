"""Estimates from few measures that scatter: on the line where there is one, and never far out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffserver.pipeline.search.size_estimate import (
    AIM,
    BOLDEST,
    CLOSEST,
    FLATTEST,
    LEAST_STEP,
    SLOPE,
    STEEPEST,
    Point,
    share_for,
    share_on_line,
)


def line(share: float, slope: float, at: float = 0.02, bound: float = 1.0) -> Point:
    """A point of the line that has so much drift at 2 %."""
    drift = at * (share / 0.02) ** slope
    return Point(share, drift, drift <= bound)


def test_one_point_and_the_usual_slope() -> None:
    assert share_for([Point(0.02, 0.4, True)], 1.0) == pytest.approx(0.02 * 2 ** (1 / SLOPE))
    assert share_for([Point(0.02, 1.6, False)], 1.0) == pytest.approx(0.02 * 2 ** (-1 / SLOPE))
    assert share_on_line(Point(0.02, 2.0, False), 1.0, 1.0) == pytest.approx(0.02 * 2 ** (-1 / SLOPE))
    assert share_on_line(Point(0.02, 2.0, False), 1.0, 1.0, slope=-1) == pytest.approx(0.04)


@pytest.mark.parametrize("slope", [FLATTEST, -1.2, -1.5, -2.0, STEEPEST])
def test_two_points_that_hold_give_the_slope(slope: float) -> None:
    first, second = line(0.02, slope, at=0.4), line(0.03, slope, at=0.4)
    share = share_for([first, second], 1.0)
    assert line(share, slope, at=0.4).drift == pytest.approx(AIM)


@pytest.mark.parametrize("slope", [-0.5, -0.8, -1.0, -1.2])
def test_between_two_points_on_a_line(slope: float) -> None:
    holding, breaking = line(0.02, slope, at=0.5), line(0.005, slope, at=0.5, bound=0.9)
    assert holding.holds
    assert not breaking.holds
    assert line(share_for([holding, breaking], 0.9), slope, at=0.5).drift == pytest.approx(AIM * 0.9)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([Point(0.02, -3.0, True)], 0.02 / BOLDEST),
        ([Point(0.02, 0.0, True)], 0.02 / BOLDEST),
        ([Point(0.02, 0.5, False)], 0.02 * LEAST_STEP),
        ([Point(0.02, 0.5, True), Point(0.04, 0.5, True)], 0.02 * (AIM / 0.5) ** (1 / FLATTEST)),
        ([Point(0.02, 0.5, True), Point(0.04, 0.9, True)], 0.02 * (AIM / 0.5) ** (1 / FLATTEST)),
        ([Point(0.02, 0.5, True), Point(0.021, -9.0, True)], 0.02 * (AIM / 0.5) ** (1 / STEEPEST)),
        ([Point(0.02, 0.5, True), Point(0.02, 0.1, True)], 0.02 * (AIM / 0.5) ** (1 / SLOPE)),
        ([Point(0.02, 0.5, True), Point(0.005, 0.2, False)], 0.01),
        ([Point(0.02, 0.5, True), Point(0.005, 0.5, False)], 0.01),
        ([Point(0.02, 0.5, True), Point(0.005, 1e9, False)], 0.02 * 0.25**CLOSEST),
        ([Point(0.02, 0.99, True), Point(0.005, 1.01, False)], 0.02 * 0.25**CLOSEST),
        ([Point(0.02, 0.5, True), Point(0.04, 2.0, False)], 0.02 * (AIM / 0.5) ** (1 / SLOPE)),
    ],
)
def test_measures_that_are_on_no_line(points: list[Point], expected: float) -> None:
    assert share_for(points, 1.0) == pytest.approx(expected)


Share = st.floats(1e-5, 1.0)
Points = st.lists(st.builds(Point, Share, st.floats(-1e3, 1e3), st.booleans()), min_size=1, max_size=4)


@settings(deadline=None)
@given(Points, st.floats(1e-3, 100))
def test_whatever_was_measured_the_step_is_a_sensible_one(points: list[Point], max_drift: float) -> None:
    share = share_for(points, max_drift)
    assert math.isfinite(share)
    shares = [point.share for point in points if point.holds]
    if not shares:
        assert share >= max(point.share for point in points) * LEAST_STEP * (1 - 1e-9)
        return
    broke = [point.share for point in points if not point.holds and point.share < min(shares)]
    if broke:
        assert max(broke) * (1 - 1e-9) <= share <= min(shares) * (1 + 1e-9)
    else:
        assert share >= min(shares) / BOLDEST * (1 - 1e-9)
