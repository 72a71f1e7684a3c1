"""Gaps between positions as Rice codes, kept in two bit streams so that decoding is vectorised.

A gap g under parameter r is g >> r in unary (zeros closed by a one) in the first stream and its low
r bits in the second (Rice and Plaunt, 1971). Bits run from the most significant; padding is zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Gaps = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]

PARAMETER_LIMIT = 40


def parameter(gaps: Gaps) -> int:
    """Return the r that codes these gaps in the fewest bits."""
    if gaps.size == 0:
        return 0
    near = int(gaps.mean() + 1).bit_length()
    candidates = range(max(0, near - 3), min(PARAMETER_LIMIT, near + 1) + 1)
    return min(candidates, key=lambda r: gaps.size * r + int((gaps >> r).sum()))


def encode(gaps: Gaps, r: int) -> tuple[Bits, Bits]:
    """Return the unary bits and the remainder bits (uint8 of 0 and 1, unpacked)."""
    ends = np.cumsum((gaps >> r) + 1)
    unary = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    unary[ends - 1] = 1
    shifts = np.arange(r - 1, -1, -1)
    return unary, ((gaps[:, None] >> shifts) & 1).astype(np.uint8).reshape(-1)


def quotients(unary: Bits) -> Gaps:
    """Return the number of zeros before each one."""
    return np.diff(np.flatnonzero(unary), prepend=-1) - 1


def remainders(bits: Bits, count: int, r: int) -> Gaps:
    """Return `count` numbers of r bits each."""
    result = np.zeros(count, np.int64)
    for column in bits.reshape(count, r).T:
        result = (result << 1) | column
    return result
