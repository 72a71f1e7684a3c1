"""Weights by a formula, so that a vector need not bring its parent along."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from tests.reference.records import BITS, Tensor

TOP_EXPONENT_BIT = {"F16": 1 << 14, "BF16": 1 << 14, "F32": 1 << 30, "F64": 1 << 62}


def weights(table: Sequence[Tensor], seed: int, given: Mapping[str, bytes]) -> list[bytes]:
    """Bytes of every tensor: those given by name; the others from `draws`, which start from seed + its number."""
    return [given.get(tensor.name) or formula(tensor, seed + number) for number, tensor in enumerate(table)]


def draws(seed: int) -> Iterator[int]:
    """x = (1664525 · x + 1013904223) mod 2^32, beginning with x = seed."""
    while True:
        seed = (1664525 * seed + 1013904223) & 0xFFFFFFFF
        yield seed


def formula(tensor: Tensor, seed: int) -> bytes:
    """Weights from the draws x, one draw each, two where the dtype has 64 bits (the first is the high half).

    On a grid, (x >> 11) - 2^20 grid units; BOOL, x >> 31; else the highest bits of x, in floats with the exponent's
    highest bit cleared.
    """
    drawn = draws(seed)
    if tensor.grid is not None:
        unit = 2.0**-tensor.grid
        return b"".join(struct.pack("<f", ((next(drawn) >> 11) - (1 << 20)) * unit) for _ in range(tensor.size))
    width = BITS[tensor.dtype]
    keep = ~TOP_EXPONENT_BIT.get(tensor.dtype, 0)
    taken = 1 if tensor.dtype == "BOOL" else width
    out = bytearray()
    for _ in range(tensor.size):
        bits = next(drawn) << 32 | next(drawn) if width == 64 else next(drawn) >> 32 - taken
        out += (bits & keep).to_bytes(width // 8, "little")
    return bytes(out)
