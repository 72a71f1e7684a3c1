"""Percentiles of what devices measured, told only where enough devices are behind them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RANKS = (5, 25, 50, 75, 95)

LEAST = 20
"""Below so many devices the outer percentiles would be single devices."""


@dataclass(frozen=True)
class Percentiles:
    """The number of devices, and the values at RANKS; None where the devices are too few."""

    devices: int
    values: dict[str, float] | None


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return the percentiles of one value a device, between two neighbours by their distance."""
    if len(values) < LEAST:
        return Percentiles(len(values), None)
    at = np.percentile(np.asarray(values, np.float64), RANKS)
    return Percentiles(len(values), {str(rank): float(value) for rank, value in zip(RANKS, at, strict=True)})
