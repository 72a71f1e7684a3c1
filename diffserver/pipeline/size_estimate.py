"""The estimate of a payload's size for a given drift, from earlier measurements: a line where both are logarithmic.

All measures scatter: a payload may drift less than nothing, or less than a larger one. So estimates aim inside the
bound, keep between what held and what broke it, and take no long steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

AIM = 0.8
"""The share of the largest drift that is aimed at."""
SLOPE, FLATTEST, STEEPEST = -1.5, -1.0, -3.0
"""Log drift over log bytes: what is assumed of it, and between what limits measures are believed."""
BOLDEST = 2.0
"""How many times smaller than all before it a payload may be."""
LEAST_STEP = 1.1
"""How many times larger than all that broke the bound it has to be."""
CLOSEST = 0.2
"""How near it may come to what held or broke, as a share of the way between the two."""
FAINTEST = 0.1
"""Drift below this share of the largest one counts as this share: there it is noise, or less than nothing."""


@dataclass(frozen=True)
class Point:
    """A measured payload: its share of the model's bytes, above 0, and its drift in points."""

    share: float
    drift: float
    holds: bool
    """Whether it keeps to all bounds, that on drift and others."""


def share_for(points: Sequence[Point], max_drift: float) -> float:
    """Return the payload share, above 0, at which drift should be somewhat less than `max_drift`, itself above 0."""
    aim = AIM * max_drift
    held = sorted((point for point in points if point.holds), key=lambda point: point.share)
    if not held:
        largest = max(points, key=lambda point: point.share)
        return max(share_on_line(largest, aim, max_drift), largest.share * LEAST_STEP)
    least = held[0]
    broke = [point for point in points if not point.holds and point.share < least.share]
    if broke:
        return _between(max(broke, key=lambda point: point.share), least, aim, max_drift)
    slope = _slope(least, held[1], max_drift) if len(held) > 1 else SLOPE
    return max(share_on_line(least, aim, max_drift, slope), least.share / BOLDEST)


def share_on_line(point: Point, drift: float, max_drift: float, slope: float = SLOPE) -> float:
    """Return the payload share that has this drift on the line of that slope through a point."""
    return math.exp(math.log(point.share) + (math.log(drift) - _log_drift(point, max_drift)) / slope)


def _between(broke: Point, held: Point, aim: float, max_drift: float) -> float:
    """On the line through the two, but not close to either: both may be off it."""
    low, high = _log_drift(held, max_drift), _log_drift(broke, max_drift)
    way = (high - math.log(aim)) / (high - low) if high > max(low, math.log(aim)) else 0.5
    way = min(1 - CLOSEST, max(CLOSEST, way))
    return math.exp((1 - way) * math.log(broke.share) + way * math.log(held.share))


def _slope(one: Point, other: Point, max_drift: float) -> float:
    run = math.log(other.share) - math.log(one.share)
    rise = _log_drift(other, max_drift) - _log_drift(one, max_drift)
    return min(FLATTEST, max(STEEPEST, rise / run)) if run else SLOPE


def _log_drift(point: Point, max_drift: float) -> float:
    return math.log(max(point.drift, FAINTEST * max_drift))
