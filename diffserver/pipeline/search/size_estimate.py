"""The estimate of a payload's size for a given drift, from earlier measurements: a line where both are logarithmic.

All measurements scatter: drift may be negative, or smaller than that of a larger payload. So estimates aim inside the
bound, stay between payloads that hold it and payloads that break it, and take no long steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

AIM = 0.8
"""The share of the largest drift that estimates aim at."""
SLOPE, FLATTEST, STEEPEST = -1.5, -1.0, -3.0
"""Log drift over log bytes: the assumed slope, and the limits of measured ones."""
BOLDEST = 2.0
"""The most by which a payload may be smaller than all before it, as a factor."""
LEAST_STEP = 1.1
"""The least by which it must be larger than all that break the bound, as a factor."""
CLOSEST = 0.2
"""The least distance from two payloads between which it lies, as a share of the distance between them."""
FAINTEST = 0.1
"""Drift below this share of the largest one counts as this share: there it is noise, or negative."""


@dataclass(frozen=True)
class Point:
    """A measured payload: its share of the model's bytes, above 0, and its drift in points."""

    share: float
    drift: float
    holds: bool
    """Whether it holds all bounds, that on drift and others."""


def share_for(points: Sequence[Point], max_drift: float) -> float:
    """Return the payload share, above 0, at which drift should be somewhat less than `max_drift`, itself above 0."""
    aim = AIM * max_drift
    holding = sorted((point for point in points if point.holds), key=lambda point: point.share)
    if not holding:
        largest = max(points, key=lambda point: point.share)
        return max(share_on_line(largest, aim, max_drift), largest.share * LEAST_STEP)
    least = holding[0]
    breaking = [point for point in points if not point.holds and point.share < least.share]
    if breaking:
        return _between(max(breaking, key=lambda point: point.share), least, aim, max_drift)
    slope = _slope(least, holding[1], max_drift) if len(holding) > 1 else SLOPE
    return max(share_on_line(least, aim, max_drift, slope), least.share / BOLDEST)


def share_on_line(point: Point, drift: float, max_drift: float, slope: float = SLOPE) -> float:
    """Return the payload share that has this drift on the line of that slope through a point."""
    return math.exp(math.log(point.share) + (math.log(drift) - _log_drift(point, max_drift)) / slope)


def _between(breaking: Point, holding: Point, aim: float, max_drift: float) -> float:
    """Return the share on the line through two points, but not close to either, as both scatter."""
    low, high = _log_drift(holding, max_drift), _log_drift(breaking, max_drift)
    fraction = (high - math.log(aim)) / (high - low) if high > max(low, math.log(aim)) else 0.5
    fraction = min(1 - CLOSEST, max(CLOSEST, fraction))
    return math.exp((1 - fraction) * math.log(breaking.share) + fraction * math.log(holding.share))


def _slope(smaller: Point, larger: Point, max_drift: float) -> float:
    run = math.log(larger.share) - math.log(smaller.share)
    rise = _log_drift(larger, max_drift) - _log_drift(smaller, max_drift)
    return min(FLATTEST, max(STEEPEST, rise / run)) if run else SLOPE


def _log_drift(point: Point, max_drift: float) -> float:
    return math.log(max(point.drift, FAINTEST * max_drift))
