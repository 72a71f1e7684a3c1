"""Tests on the bits of floating-point numbers: finite, minus zero.

Raw bits as unsigned integers, so that bf16, which numpy does not know, needs no special case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.unsignedinteger[Any]]

EXPONENTS: Mapping[str, int] = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F80_0000, "F64": 0x7FF0 << 48}
"""The mask of each dtype's exponent; a number whose exponent is all ones is not finite."""


def bits_of(weights: npt.NDArray[Any]) -> Bits:
    """View weights of any dtype as unsigned integers of the same width."""
    return weights.view(f"u{weights.itemsize}")


def sign_bit(bits: Bits) -> np.unsignedinteger[Any]:
    """Return the highest bit of the integers' width; alone, it is minus zero."""
    return bits.dtype.type(1 << (8 * bits.itemsize - 1))


def all_finite(bits: Bits, dtype: str) -> bool:
    """Tell whether every number is finite."""
    exponent = bits.dtype.type(EXPONENTS[dtype])
    return not np.any(bits & exponent == exponent)


def any_minus_zero(bits: Bits) -> bool:
    """Tell whether a number is minus zero."""
    return bool(np.any(bits == sign_bit(bits)))


def plus_zero(bits: Bits) -> Bits:
    """Return the bits with plus zero for every minus zero."""
    return np.where(bits == sign_bit(bits), bits.dtype.type(0), bits)
