"""Apply diffs to single weights in fractions and plain integers, as docs/format.md defines it.

Independent of the client's arithmetic. Weights are bit patterns, as Python's integers.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import NamedTuple

ONE = 1 << 16


class Float(NamedTuple):
    """A binary floating-point format: `bits` in all, `fraction` of them behind the leading one."""

    bits: int
    fraction: int
    least: int
    """The exponent of the smallest normal number."""

    @property
    def infinity(self) -> int:
        """The pattern of infinity: all exponent bits."""
        return (1 << (self.bits - 1)) - (1 << self.fraction)


FLOATS = {
    "F16": Float(16, 10, -14),
    "BF16": Float(16, 7, -126),
    "F32": Float(32, 23, -126),
    "F64": Float(64, 52, -1022),
}
WIDTHS = {name: form.bits for name, form in FLOATS.items()} | {
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "I16": 16,
    "I32": 32,
    "I64": 64,
}


def number(pattern: int, dtype: str) -> Fraction:
    """The number that a finite pattern stands for."""
    if dtype == "BF16":
        return number(pattern << 16, "F32")
    as_float, as_bits = {"F16": ("<e", "<H"), "F32": ("<f", "<I"), "F64": ("<d", "<Q")}[dtype]
    return Fraction(struct.unpack(as_float, struct.pack(as_bits, pattern))[0])


def rounded(value: Fraction, dtype: str) -> int | None:
    """The pattern of the nearest number, half to even; None beyond the largest, plus zero for zero."""
    form = FLOATS[dtype]
    if value == 0:
        return 0
    exponent = math.floor(math.log2(abs(value.numerator)) - math.log2(value.denominator))
    exponent += (abs(value) >= Fraction(2) ** (exponent + 1)) - (abs(value) < Fraction(2) ** exponent)
    exponent = max(exponent, form.least)
    steps = round(abs(value) / Fraction(2) ** (exponent - form.fraction))
    # Patterns count on through the exponents, so a carry into the next one needs no care.
    pattern = steps + ((exponent - form.least) << form.fraction)
    if pattern >= form.infinity:
        return None
    return pattern | (value < 0 and pattern > 0) << (form.bits - 1)


def signed(pattern: int, bits: int) -> int:
    """A two's complement number."""
    return pattern - (1 << bits) if pattern >> (bits - 1) else pattern


def ordinal(pattern: int, dtype: str) -> int:
    """The ordinal of a pattern."""
    if dtype not in FLOATS:
        return pattern
    sign = 1 << (FLOATS[dtype].bits - 1)
    return pattern ^ (2 * sign - 1) if pattern & sign else pattern ^ sign


def moved(pattern: int, delta: int, dtype: str) -> int | None:
    """The pattern whose ordinal is `delta` further; None if it may not be."""
    bits = WIDTHS[dtype]
    goal = (ordinal(pattern, dtype) + delta) % (1 << bits)
    if dtype in FLOATS:
        sign = 1 << (bits - 1)
        goal = goal ^ sign if goal & sign else goal ^ (2 * sign - 1)
        return None if goal == sign or goal & FLOATS[dtype].infinity == FLOATS[dtype].infinity else goal
    return None if dtype == "BOOL" and goal > 1 else goal


def on_grid(pattern: int, value: int, alpha: int, beta: int, exponent: int) -> int | None:
    """An F32 pattern on a grid after a sparse or hashed diff; None if it is refused."""
    units = number(pattern, "F32") * Fraction(2) ** exponent
    result = round((alpha * units + beta * value) / ONE)
    return rounded(result * Fraction(2) ** -exponent, "F32") if abs(result) <= 1 << 24 else None


def int8(pattern: int, value: int, alpha: int, beta: int) -> int | None:
    """An I8 pattern after a sparse or hashed diff; None if it is refused."""
    result = round(Fraction(alpha * signed(pattern, 8) + beta * value, ONE))
    return result % 256 if -128 <= result <= 127 else None


def half(pattern: int, value: int, alpha: int, beta: int, exponent: int, dtype: str) -> int | None:
    """An F16 or BF16 pattern after a sparse or hashed diff; None if it is refused."""
    if value == 0 and alpha == ONE:
        return pattern
    added = value * Fraction(2) ** -exponent
    total: Fraction | None = Fraction(0)
    for factor, term in ((alpha, number(pattern, dtype)), (beta, added)):
        product = rounded(Fraction(factor, ONE) * term, "F32")
        total = None if total is None or product is None else total + number(product, "F32")
    single = None if total is None else rounded(total, "F32")
    return None if single is None else rounded(number(single, "F32"), dtype)
