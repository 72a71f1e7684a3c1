"""Arithmetic on weights: grids, and the linear combination of weights and diff values.

A grid with exponent e holds the multiples of 2^-e. Within 24 bits they are all exact in fp32, so
weights can travel as floats and be combined as integers. int8 is its own grid; fp16 and bf16 have no room
for one and are combined in fp32, operation by operation. Diffs themselves are left to `diff.streams`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.errors import RangeError
from diffclient.tensors import float_bits

Ints = npt.NDArray[np.int32]
Values = npt.NDArray[np.signedinteger[Any]]
Floats = npt.NDArray[np.float32]

ONE = 1 << 16
"""The factor 1 as a 16.16 fixed-point number."""

FACTOR_LIMIT = 1 << 20
"""The largest magnitude of alpha and beta: 16."""

LIMIT = 1 << 24
"""The largest magnitude of a weight in grid units: fp32's significand."""

VALUE_LIMIT = 2 * LIMIT
"""The largest magnitude of a diff value: from one end of the grid to the other."""

ENTRY_BITS = 21
"""Bits of the largest weight when a tensor enters its grid; the rest is headroom for diffs."""

GRID_MIN, GRID_MAX = -100, 126

SMALL_TENSOR = 1 << 12
"""The most weights of a tensor that is kept off the grid for the sake of its smallest ones."""

COARSE = 1 << 9
"""Grid units below which rounding can move a weight by more than 2^-10 of itself."""


def choose_grid(weights: Floats) -> int | None:
    """Return the exponent of the finest grid on which the largest weight fits in 21 bits; None if none suits.

    None suits weights that are not finite, weights too large for any grid, and a small tensor of which at least two
    weights and a sixteenth of all, zeros apart, would be below 2^9 units: a table of frequencies rather than weights.
    """
    largest = float(np.max(np.abs(weights), initial=0.0))
    return None if _spans_too_much(weights, largest) else finest_grid(largest)


def finest_grid(largest: float) -> int | None:
    """Return the exponent of the finest grid on which a weight fits in 21 bits; None if there is none."""
    exponent = _entry_exponent(largest) if math.isfinite(largest) else GRID_MIN - 1
    return None if exponent < GRID_MIN else min(exponent, GRID_MAX)


def _entry_exponent(largest: float) -> int:
    return ENTRY_BITS - math.frexp(largest)[1]


def _spans_too_much(weights: Floats, largest: float) -> bool:
    if weights.size > SMALL_TENSOR or not math.isfinite(largest):
        return False
    sizes = np.abs(weights[weights != 0])
    coarse = np.count_nonzero(sizes < math.ldexp(COARSE, -_entry_exponent(largest)))
    return bool(coarse >= max(2, sizes.size / 16))


def round_to_grid(weights: Floats, exponent: int) -> Ints:
    """Round weights to the nearest multiples of 2^-exponent, half to even; the result is in grid units."""
    scaled = np.rint(np.ldexp(weights.astype(np.float64), exponent))
    if not np.all(np.abs(scaled) <= LIMIT):
        raise RangeError("weights outside their grid: an exact diff can give the tensor a new one")
    return scaled.astype(np.int32)


def to_grid(weights: Floats, exponent: int) -> Ints:
    """Return weights in grid units; raises RangeError unless every one is exactly on the grid."""
    scaled = _scale(weights, exponent)
    if not _within(scaled, -LIMIT, LIMIT):
        raise RangeError("weights outside their grid: the snapshot is damaged")
    return scaled.astype(np.int32)


def coarsen(weights: Floats, old: int, new: int) -> Floats:
    """Return weights rounded from the grid with exponent `old` to the coarser one `new`, half to even.

    Raises RangeError as `to_grid` does.
    """
    return from_grid(np.rint(np.ldexp(to_grid(weights, old).astype(np.float64), new - old)).astype(np.int32), new)


def from_grid(units: Ints, exponent: int) -> Floats:
    """Return units × 2^-exponent as fp32; exact for |units| <= 2^24."""
    return units.astype(np.float32) * np.float32(2.0**-exponent)


def add(weights: Floats, values: Values, exponent: int) -> Floats:
    """Return weights + values × 2^-exponent; the values are in grid units.

    Raises RangeError as `to_grid` and `combine` do. Computed in fp32, which holds the sum exactly within 24 bits.
    """
    total = _scale(weights, exponent)
    if _within(values, -LIMIT, LIMIT):
        total += values.astype(np.float32)
        # A sum of 2^24 may have been rounded to it, and is left to the integers.
        if _within(total, 1 - LIMIT, LIMIT - 1):
            return np.multiply(total, np.float32(2.0**-exponent), out=total)
    return from_grid(combine(to_grid(weights, exponent), values), exponent)


def combine(units: Ints, values: Values, alpha: int = ONE, beta: int = ONE) -> Ints:
    """Return round_half_even(alpha × units + beta × values), all in grid units.

    `alpha` and `beta` are 16.16 fixed-point numbers, |x| <= 16. Raises RangeError if a result
    leaves 24 bits, or a value 25.
    """
    return _combine(units, values, alpha, beta, -LIMIT, LIMIT)


def scale(units: Ints, alpha: int) -> Ints:
    """Return round_half_even(alpha × units); `alpha` is a 16.16 fixed-point number."""
    return combine(units, np.zeros_like(units), alpha)


def combine_int8(weights: npt.NDArray[np.int8], values: Values, alpha: int, beta: int) -> npt.NDArray[np.int8]:
    """Return `combine` for int8 weights, which are their own grid; raises RangeError outside int8."""
    return _combine(weights.astype(np.int32), values, alpha, beta, -128, 127).astype(np.int8)


def combine_half(
    weights: npt.NDArray[Any], values: Values, alpha: int, beta: int, *, dtype: str, exponent: int
) -> npt.NDArray[Any]:
    """Return alpha × weights + beta × values × 2^-exponent, weights being F16 or BF16 (as uint16).

    Both products and the sum are rounded to fp32, and the sum once to `dtype`, half to even. Raises
    RangeError if a value exceeds 24 bits or a result is not finite. Weights neither scaled nor changed keep their bits.
    """
    if not _within(values, -LIMIT, LIMIT):
        raise RangeError("a value of the diff exceeds 24 bits: publish a new snapshot")
    added = values.astype(np.float32) * np.float32(2.0**-exponent)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        total = np.float32(alpha / ONE) * float_bits.widen(weights, dtype) + np.float32(beta / ONE) * added
        unchanged = (values == 0) & (alpha == ONE)
        total[unchanged] = 0
        bits = float_bits.narrow(total, dtype)
    if not np.all(np.isfinite(total)) or not float_bits.all_finite(bits, dtype):
        raise RangeError("the diff makes a weight that is not finite: publish a new snapshot")
    return np.where(unchanged, weights, float_bits.plus_zero(bits).view(weights.dtype))


def _scale(weights: Floats, exponent: int) -> Floats:
    """Return weights in grid units as fp32; raises RangeError unless they are integers or infinite."""
    with np.errstate(over="ignore"):
        scaled = weights * np.float32(2.0**exponent)
    if not np.all(np.rint(scaled) == scaled):
        raise RangeError("weights off their grid: the snapshot is damaged or was not written by this system")
    return scaled


def _within(numbers: npt.NDArray[Any], low: int, high: int) -> bool:
    """Tell whether all numbers are in low … high; NaN is not."""
    return bool(np.minimum.reduce(numbers, axis=None, initial=0) >= low) and bool(
        np.maximum.reduce(numbers, axis=None, initial=0) <= high
    )


def _combine(units: Ints, values: Values, alpha: int, beta: int, low: int, high: int) -> Ints:
    if not _within(values, -VALUE_LIMIT, VALUE_LIMIT):
        raise RangeError("a value of the diff exceeds 25 bits: publish a new snapshot")
    if alpha == beta == ONE:
        result = units + values.astype(np.int32, copy=False)
    else:
        total = np.multiply(units, alpha, dtype=np.int64) + np.multiply(values, beta, dtype=np.int64)
        # Just below a half is added, and a little more to what would become odd: halves go to the even side.
        result = (total + (ONE // 2 - 1) + (total >> 16 & 1)) >> 16
    if not _within(result, low, high):
        raise RangeError("the diff drives a weight out of its grid: publish a new snapshot")
    return result.astype(np.int32, copy=False)
