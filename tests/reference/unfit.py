"""Sound payloads that would make a forbidden weight: applying them raises RangeError."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.reference.documents import Part
from tests.reference.models import Sample, sample
from tests.reference.records import EXACT, HASHED, ONE, SPARSE, Tensor

TOP = 1 << 24


def exact(dtype: str, bits: int, difference: int, **fields: int) -> Sample:
    """One weight, off the grid, and what is added to its ordinal."""
    return of_one(dtype, bits, EXACT, Part({0: difference}), **fields)


def narrow(dtype: str, bits: int, level: int, exponent: int = 0, **factors: int) -> Sample:
    """One weight of a dtype with arithmetic of its own."""
    return of_one(dtype, bits, SPARSE, Part({0: level} if level else {}, exponent=exponent), **factors)


def of_one(dtype: str, bits: int, kind: int, part: Part, **fields: int) -> Sample:
    """A model of one weight with these bits."""
    width = {"BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}[dtype]
    given = {"w": bits.to_bytes(width, "little")}
    return sample(dtype, kind, [Tensor("w", (1,), dtype, None)], {"w": part}, given=given, **fields)


def grid(units: int, kind: int, part: Part, **fields: int) -> Sample:
    """One weight on a grid."""
    given = {"w": struct.pack("<f", units * 2.0**-20)}
    return sample("on a grid", kind, [Tensor("w", (1, 1), "F32", 20)], {"w": part}, given=given, **fields)


UNFIT: Mapping[str, Sample] = {
    "a BOOL of 2": exact("BOOL", 1, 1),
    "a BOOL of 255": exact("BOOL", 0, -1),
    "exact F16 to infinity": exact("F16", 0x7BFF, 1),
    "exact F16 to a NaN": exact("F16", 0x7BFF, 2),
    "exact F16 to minus infinity": exact("F16", 0xFBFF, -1),
    "exact F16 to -0": exact("F16", 0, -1),
    "exact F16 around the end": exact("F16", 0x7FFF, 1),
    "exact F16 stays a NaN": exact("F16", 0x7E00, 1),
    "exact BF16 to infinity": exact("BF16", 0x7F7F, 1),
    "exact BF16 to -0": exact("BF16", 0x8001, 1),
    "exact F32 to minus infinity": exact("F32", 0xFF7FFFFF, -1),
    "exact F32 to -0": exact("F32", 1, -2),
    "exact F64 to infinity": exact("F64", (0x7FF << 52) - 1, 1),
    "exact F64 to -0": exact("F64", 0x3FF << 52, -(0x3FF << 52) - 1),
    "exact off the top of the grid": grid(TOP, EXACT, Part({0: 1})),
    "exact off the bottom of the grid": grid(-TOP, EXACT, Part({0: -1})),
    "exact far off the grid": grid(TOP, EXACT, Part({0: 2 * TOP})),
    "exact, a new grid, to -0": exact("F32", 1, -2, version=3),
    "exact, a new grid, a BOOL of 2": exact("BOOL", 1, 1, version=3),
    "exact off the top of a new grid": grid(TOP, EXACT, Part({0: (1 << 23) + 1}, grid=2), version=3),
    "exact off the bottom of a new grid": grid(-TOP, EXACT, Part({0: -(1 << 24)}, grid=10), version=3),
    "exact to -0 off the grid that it leaves": grid(1, EXACT, Part({0: -0x35800001}, grid=1), version=3),
    "exact, a parent beyond its grid": grid(2 * TOP, EXACT, Part(grid=9), version=3),
    "exact, scaled, off the top of the grid": grid(TOP, EXACT, Part({0: TOP}, alpha=1), version=4),
    "exact, scaled, a parent beyond its grid": grid(2 * TOP, EXACT, Part(alpha=15), version=4),
    "off the top of the grid": grid(TOP, SPARSE, Part({0: 1})),
    "off the bottom of the grid": grid(-TOP, SPARSE, Part({0: -1})),
    "off the grid by a half": grid(TOP - 1, SPARSE, Part({0: 5}), beta=ONE // 2),
    "off the grid by the factor": grid(1 << 21, SPARSE, Part(), alpha=9 * ONE),
    "off the grid, as far as can be": grid(TOP, SPARSE, Part({0: 2}, step=TOP), alpha=16 * ONE, beta=16 * ONE),
    "off the grid, hashed": grid(TOP, HASHED, Part(levels=[-1]), seed=1),
    "off the grid, hashed, the other sign": grid(-TOP, HASHED, Part(levels=[1]), seed=1),
    "I8 of 128": narrow("I8", 0x7F, 1),
    "I8 of -129": narrow("I8", 0x80, -1),
    "I8 of 200": narrow("I8", 100, 0, alpha=2 * ONE),
    "I8 of -(-128)": narrow("I8", 0x80, 0, alpha=-ONE),
    "F16 of 65520": narrow("F16", 0x7BFF, 16),
    "F16 of -65520": narrow("F16", 0xFBFF, -16),
    "F16 by the factor": narrow("F16", 0x7800, 0, alpha=2 * ONE),
    "F16 by fp32": narrow("F16", 0, TOP, -100, beta=16 * ONE),
    "BF16 to infinity": narrow("BF16", 0x7F7F, 1, -100, alpha=ONE + 256),
    "BF16 by fp32": narrow("BF16", 0x7F00, 0, alpha=3 * ONE),
    "BF16, infinity less infinity": narrow("BF16", 0x7F00, -TOP, -100, alpha=16 * ONE, beta=16 * ONE),
    "F16, infinity times 0": narrow("F16", 0x7C00, 1, alpha=0),
    "F16, a NaN plus something": narrow("F16", 0x7E00, 1),
    "F16, a NaN by the factor": narrow("F16", 0xFE00, 0, alpha=0),
    "BF16, hashed": of_one("BF16", 0x7F7F, HASHED, Part(levels=[TOP], exponent=-100), beta=16 * ONE),
}
