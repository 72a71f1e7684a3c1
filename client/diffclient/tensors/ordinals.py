"""Ordinals: the integers that an exact diff adds to, one for every bit pattern of a dtype.

The ordinals of floats have the order of the numbers, so close weights have close ordinals and small deltas. Those
of integers and BOOL are their bits. Addition is modulo 2^bits, so every pattern can be reached from every other, and
subtraction undoes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.errors import RangeError
from diffclient.tensors import float_bits
from diffclient.tensors.float_bits import Bits

Array = npt.NDArray[Any]


def to_ordinals(weights: Array, dtype: str) -> Bits:
    """Return weights' ordinals, as unsigned integers of the dtype's width (bf16 is given as uint16)."""
    bits = float_bits.bits_of(weights)
    return bits ^ _flips(bits) if dtype in float_bits.EXPONENTS else bits.copy()


def from_ordinals(ordinals: Bits, dtype: str, like: np.dtype[Any], nonfinite: bool = False) -> Array:
    """Return the weights that have these ordinals, as an array of numpy's dtype `like`.

    Raises RangeError for floats that are minus zero or, unless `nonfinite` allows them, infinite or NaN, and for a BOOL
    that is neither 0 nor 1.
    """
    floats = dtype in float_bits.EXPONENTS
    bits = ordinals ^ _flips(~ordinals) if floats else ordinals.copy()
    if floats and (float_bits.any_minus_zero(bits) or not (nonfinite or float_bits.all_finite(bits, dtype))):
        raise RangeError("the diff makes a weight that is not finite, or minus zero: publish a new snapshot")
    if dtype == "BOOL" and np.any(bits > 1):
        raise RangeError("the diff makes a truth value that is neither 0 nor 1: publish a new snapshot")
    return bits.view(like)


def add(weights: Array, deltas: npt.NDArray[np.signedinteger[Any]], dtype: str, nonfinite: bool = False) -> Array:
    """Return the weights with `deltas` added to their ordinals; raises RangeError as `from_ordinals` does."""
    ordinals = to_ordinals(weights, dtype)
    return from_ordinals(ordinals + deltas.astype(ordinals.dtype), dtype, weights.dtype, nonfinite)


def subtract(new: Array, old: Array, dtype: str) -> npt.NDArray[np.int64]:
    """Return the deltas with which `add` turns `old` into `new`: int64, signed and as wide as the dtype."""
    difference = to_ordinals(new, dtype) - to_ordinals(old, dtype)
    return difference.view(f"i{difference.itemsize}").astype(np.int64)


def _flips(bits: Bits) -> Bits:
    """Return a mask: all bits where the highest is set, else the highest alone."""
    spread = bits.view(f"i{bits.itemsize}") >> (8 * bits.itemsize - 1)
    return float_bits.bits_of(spread) | float_bits.sign_bit(bits)
