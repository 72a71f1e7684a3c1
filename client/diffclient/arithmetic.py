"""Integer arithmetic on weights: grids, and the linear combination of weights and diff values.

A grid with exponent e holds the multiples of 2^-e. Within 24 bits they are all exact in fp32, so
weights can travel as floats and be combined as integers. What a diff is, is left to `diff`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from diffclient.errors import RangeError

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

ONE = 1 << 16
"""The factor 1 as a 16.16 fixed-point number."""

FACTOR_LIMIT = 1 << 20
"""The largest magnitude of alpha and beta: 16."""

LIMIT = 1 << 24
"""The largest magnitude of a weight in grid units: fp32's significand."""

ENTRY_BITS = 21
"""Bits of the largest weight when a tensor enters its grid; the rest is headroom for diffs."""

GRID_MIN, GRID_MAX = -100, 126


def choose_grid(weights: Floats) -> int:
    """Return the exponent of the finest grid on which the largest weight fits in 21 bits.

    Raises RangeError if a weight is not finite or too large for any grid.
    """
    largest = float(np.max(np.abs(weights), initial=0.0))
    if not math.isfinite(largest):
        raise RangeError("the tensor holds a weight that is not finite: retrain or repair the checkpoint")
    exponent = ENTRY_BITS - math.frexp(largest)[1]
    if exponent < GRID_MIN:
        raise RangeError(f"a weight of {largest:g} is too large for a grid: rescale the tensor")
    return min(exponent, GRID_MAX)


def round_to_grid(weights: Floats, exponent: int) -> Ints:
    """Round weights to the nearest multiples of 2^-exponent, half to even; the result is in grid units."""
    scaled = np.rint(np.ldexp(weights.astype(np.float64), exponent))
    if not np.all(np.abs(scaled) <= LIMIT):
        raise RangeError("weights outside their grid: publish a new snapshot, which chooses new grids")
    return scaled.astype(np.int32)


def to_grid(weights: Floats, exponent: int) -> Ints:
    """Return weights in grid units; raises RangeError unless every one is exactly on the grid."""
    scaled = np.ldexp(weights, exponent)
    if not np.all(np.abs(scaled) <= LIMIT):
        raise RangeError("weights outside their grid: the snapshot is damaged")
    units = scaled.astype(np.int32)
    if not np.array_equal(units, scaled):
        raise RangeError("weights off their grid: the snapshot is damaged or was not written by this system")
    return units


def from_grid(units: Ints, exponent: int) -> Floats:
    """Return units × 2^-exponent as fp32; exact for |units| <= 2^24."""
    return np.ldexp(units.astype(np.float32), -exponent)


def combine(units: Ints, values: Ints, alpha: int = ONE, beta: int = ONE) -> Ints:
    """Return round_half_even(alpha × units + beta × values), all in grid units.

    `alpha` and `beta` are 16.16 fixed-point numbers, |x| <= 16. Raises RangeError if a result
    leaves 24 bits.
    """
    total = np.multiply(units, alpha, dtype=np.int64) + np.multiply(values, beta, dtype=np.int64)
    result = total >> 16
    rest = total & (ONE - 1)
    half = ONE // 2
    result += (rest > half) | ((rest == half) & (result & 1 == 1))
    if not np.all(np.abs(result) <= LIMIT):
        raise RangeError("the diff drives a weight out of its grid: publish a new snapshot")
    return result.astype(np.int32)
