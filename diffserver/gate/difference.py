"""The difference that a version makes in the field: changes of devices that have it against devices that do not yet.

A device's change is its rate of errors in a stage minus its rate before the rollout, both over the same two periods for
all devices, so what changes with time, such as seasons and habits, falls out. Every device counts once, however much it
reports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Changes = npt.NDArray[np.float64]
"""Changes of devices' error rates in points, float64 `[devices]`."""


@dataclass(frozen=True)
class Difference:
    """The mean change of devices that have the new version, minus that of devices that do not, in points."""

    value: float
    error: float
    """The standard error; infinite where it cannot be known."""
    freedom: float
    """The degrees of freedom of the error."""
    moved: int
    """The number of devices with the new version that reported."""
    control: int
    """The number of devices without it that reported."""


def changes(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> Changes:
    """Return the changes of devices with errors and totals (int64 `[devices, 2]`) before and after.

    Devices that lack a total on either side have none, and are left out.
    """
    known = (before[:, 1] > 0) & (after[:, 1] > 0)
    rates = [100 * part[known, 0] / part[known, 1] for part in (before, after)]
    return np.asarray(rates[1] - rates[0])


def compare(moved: Changes, control: Changes) -> Difference:
    """Return the difference of two groups of unequal variance (B. L. Welch, Biometrika 34, 1947).

    A side's variance is at least what one device of it makes that changed by a point: where all are alike so far, such
    a device may be the next.
    """
    counts = len(moved), len(control)
    if min(counts) < 2:
        return Difference(0.0, math.inf, 1.0, *counts)
    parts = [max(float(side.var(ddof=1)), 1 / len(side)) / len(side) for side in (moved, control)]
    freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return Difference(float(moved.mean() - control.mean()), math.sqrt(sum(parts)), freedom, *counts)
