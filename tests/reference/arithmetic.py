"""Apply a decoded payload to the parent's bytes, in exact rational arithmetic."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

from tests.reference.coding import RangeError
from tests.reference.decoder import Payload, Stream
from tests.reference.records import BITS, EXACT, HASHED, ONE, Tensor

FLOATS = {"F16": (11, -24, 16), "BF16": (8, -133, 128), "F32": (24, -149, 128)}
"""Each dtype's significand bits, exponent of the smallest number, and exponent of the first number too large."""
EXPONENT_BITS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F80_0000, "F64": 0x7FF0_0000_0000_0000}


def digest(table: Sequence[Tensor], weights: Sequence[bytes]) -> str:
    """Return a version's digest."""
    rows = [[tensor.name, list(tensor.shape), tensor.dtype, tensor.grid] for tensor in table]
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    hashes = b"".join(hashlib.sha256(data).digest() for data in weights)
    return hashlib.sha256(b"neural-diff digest 1\n" + struct.pack("<Q", len(text)) + text + hashes).hexdigest()


def apply(payload: Payload, table: Sequence[Tensor], weights: Sequence[bytes]) -> list[bytes]:
    """Return the bytes of every tensor after the diff; raises RangeError."""
    return [
        data if stream is None else change(payload, number, tensor, stream, data)
        for number, (tensor, stream, data) in enumerate(zip(table, payload.streams, weights, strict=True))
    ]


def change(payload: Payload, number: int, tensor: Tensor, stream: Stream, data: bytes) -> bytes:
    """Return one tensor's new bytes, weight by weight, by the rule of its dtype."""
    value = values(payload, number, stream)
    after = payload.table[number]
    rule = rule_for(payload, after, stream)
    width = BITS[tensor.dtype] // 8
    old = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]
    if tensor.grid is not None and after.grid not in (None, tensor.grid):
        old = [coarsened(bits, tensor.grid, after.grid) for bits in old]
    if stream.alpha != ONE:
        old = [scaled(bits, after.grid, stream.alpha) for bits in old]
    return b"".join(rule(bits, value(position)).to_bytes(width, "little") for position, bits in enumerate(old))


Rule = Callable[[int, int], int]


def rule_for(payload: Payload, tensor: Tensor, stream: Stream) -> Rule:
    """Return the function from a weight's bits and the value at its position to the new bits."""
    alpha, beta = payload.alpha, payload.beta
    if tensor.grid is not None:
        grid = tensor.grid
        return lambda bits, value: on_grid(bits, value, alpha, beta, grid)
    if payload.kind == EXACT:
        return lambda bits, value: exact(bits, value, tensor.dtype, payload.nonfinite)
    if tensor.dtype == "I8":
        return lambda bits, value: int8(bits, value, alpha, beta)
    return lambda bits, value: half(bits, value, stream.exponent, alpha, beta, tensor.dtype)


def values(payload: Payload, number: int, stream: Stream) -> Callable[[int], int]:
    """Return the function from a position of tensor `number` to D or the difference of ordinals; 0 by default."""
    if payload.kind == HASHED:
        key = mix(payload.seed ^ mix(number + 0x9E3779B9))
        return lambda position: hashed(position, key, stream.levels) * stream.step
    return lambda position: stream.numbers.get(position, 0) * stream.step


def hashed(position: int, key: int, levels: Sequence[int]) -> int:
    h = mix(position ^ key)
    level = levels[(h >> 1) * len(levels) >> 31]
    return -level if h & 1 else level


def mix(x: int) -> int:
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def combined(weight: int, value: int, alpha: int, beta: int, low: int, high: int) -> int:
    """round_half_even((alpha · W + beta · D) / 65536)"""
    result, rest = divmod(alpha * weight + beta * value, ONE)
    if rest > ONE // 2 or (rest == ONE // 2 and result % 2 == 1):
        result += 1
    if not low <= result <= high:
        raise RangeError(f"{result} is not from {low} to {high}")
    return result


def units_of(bits: int, grid: int) -> int:
    """W, of a F32 weight on this grid."""
    units = Fraction(number(bits, "F32")) * Fraction(2) ** grid
    if units.denominator != 1:
        raise RangeError("the parent's weight is not on its grid")
    return units.numerator


def coarsened(bits: int, old: int, new: int) -> int:
    """The bits of a weight that is rounded from one grid to a coarser one, half to even."""
    units = units_of(bits, old)
    if abs(units) > 1 << 24:
        raise RangeError("the parent's weight is not on its grid")
    return to_bits(round(units / Fraction(2) ** (old - new)) / Fraction(2) ** new, "F32")


def scaled(bits: int, grid: int | None, alpha: int) -> int:
    """The bits of a weight that exact scales before it adds anything: F32 on a grid, or I8."""
    return int8(bits, 0, alpha, ONE) if grid is None else on_grid(bits, 0, alpha, ONE, grid)


def on_grid(bits: int, value: int, alpha: int, beta: int, grid: int) -> int:
    """F32 on a grid; in exact, alpha and beta are 1, so that the same formula is W + D."""
    if value == 0 and alpha == ONE:
        return bits
    result = combined(units_of(bits, grid), value, alpha, beta, -(1 << 24), 1 << 24)
    return to_bits(result / Fraction(2) ** grid, "F32")


def int8(bits: int, value: int, alpha: int, beta: int) -> int:
    weight = bits - 256 if bits >= 128 else bits
    return combined(weight, value, alpha, beta, -128, 127) & 0xFF


def half(bits: int, value: int, exponent: int, alpha: int, beta: int, dtype: str) -> int:
    """F16 and BF16 in sparse and hashed; a zero has no sign here, so the result is never -0."""
    if value == 0 and alpha == ONE:
        return bits
    weight = number(bits, dtype)
    scaled = rounded(Fraction(alpha, ONE) * weight, "F32")
    added = rounded(Fraction(beta, ONE) * value / Fraction(2) ** exponent, "F32")
    return to_bits(rounded(rounded(scaled + added, "F32"), dtype), dtype)


def exact(bits: int, value: int, dtype: str, nonfinite: bool) -> int:
    """A difference of ordinals, modulo 2^bits."""
    if value == 0:
        return bits
    width = BITS[dtype]
    sign, every = 1 << width - 1, (1 << width) - 1
    if dtype not in EXPONENT_BITS:
        result = (bits + value) & every
        if dtype == "BOOL" and result > 1:
            raise RangeError(f"a BOOL of {result}")
        return result
    ordinal = (every - bits if bits & sign else bits + sign) + value & every
    result = ordinal - sign if ordinal & sign else every - ordinal
    if result == sign or (not nonfinite and result & EXPONENT_BITS[dtype] == EXPONENT_BITS[dtype]):
        raise RangeError("-0, or not finite")
    return result


def number(bits: int, dtype: str) -> Fraction:
    """Return the number that these bits encode; raises RangeError if it is not finite."""
    if bits & EXPONENT_BITS[dtype] == EXPONENT_BITS[dtype]:
        raise RangeError("the parent's weight is not finite")
    if dtype == "F16":
        return Fraction(struct.unpack("<e", struct.pack("<H", bits))[0])
    return Fraction(struct.unpack("<f", struct.pack("<I", bits << 16 if dtype == "BF16" else bits))[0])


def to_bits(exactly: Fraction, dtype: str) -> int:
    """Return the bits of a number that the dtype can hold; for 0, those of +0."""
    if dtype == "F16":
        return int(struct.unpack("<H", struct.pack("<e", float(exactly)))[0])
    bits = int(struct.unpack("<I", struct.pack("<f", float(exactly)))[0])
    return bits >> 16 if dtype == "BF16" else bits


def rounded(exactly: Fraction, dtype: str) -> Fraction:
    """Return the nearest number of the dtype, half to even; raises RangeError beyond its largest."""
    if exactly == 0:
        return exactly
    digits, smallest, too_large = FLOATS[dtype]
    magnitude = abs(exactly)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, smallest)
    nearest = round(exactly / unit) * unit
    if abs(nearest) >= Fraction(2) ** too_large:
        raise RangeError(f"beyond the largest {dtype}")
    return nearest
