"""The bits of floating-point numbers: which are finite, which is minus zero, how halves become fp32 and back.

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


def finite(weights: npt.NDArray[Any], dtype: str) -> bool:
    """Tell whether weights of any dtype are finite, as integers always are."""
    return dtype not in EXPONENTS or all_finite(bits_of(weights), dtype)


def any_minus_zero(bits: Bits) -> bool:
    """Tell whether a number is minus zero."""
    return bool(np.any(bits == sign_bit(bits)))


def plus_zero(bits: Bits) -> Bits:
    """Return the bits with plus zero for every minus zero."""
    return np.where(bits == sign_bit(bits), bits.dtype.type(0), bits)


def widen(weights: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Return F16 or BF16 weights as fp32, exactly: bf16 is the upper half of an fp32."""
    return weights.astype(np.float32) if dtype == "F16" else (weights.astype(np.uint32) << 16).view(np.float32)


def narrow(numbers: npt.NDArray[np.float32], dtype: str) -> Bits:
    """Round fp32 to the bits of F16 or BF16, half to even; what is too large becomes infinite."""
    if dtype == "F16":
        return numbers.astype(np.float16).view(np.uint16)
    bits = numbers.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
