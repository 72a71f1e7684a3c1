"""Random models and random sound payloads for them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.reference.documents import WIDE, Part, document
from tests.reference.records import BITS, EXACT, HASHED, ONE, SPARSE, Tensor
from tests.reference.writer import Document

DTYPES = ("F32", "F32", *BITS)


def table(chance: Random) -> list[Tensor]:
    """Up to five tensors of at most some hundred weights."""
    return [tensor(chance, name) for name in "abcde"[: chance.randint(0, 5)]]


def tensor(chance: Random, name: str) -> Tensor:
    """A tensor of up to three axes."""
    dtype = chance.choice(DTYPES)
    grid = chance.randint(-100, 126) if dtype == "F32" and chance.random() < 0.7 else None
    return Tensor(name, tuple(chance.randint(0, 9) for _ in range(chance.randint(0, 3))), dtype, grid)


def payload(chance: Random, tensors: Sequence[Tensor], parent: str) -> Document:
    """A sound payload for this table."""
    kind = chance.choice([SPARSE, HASHED, EXACT])
    touched = [allowed(kind, each) and chance.random() < 0.7 for each in tensors]
    version = chance.choice([2, 3, 4]) if kind == EXACT else 2
    parts = [part(chance, kind, each, version) if touch else None for each, touch in zip(tensors, touched, strict=True)]
    lanes = chance.randint(1, 9) if chance.random() < 0.9 else chance.randint(1, 300)
    alpha, beta = (ONE, ONE) if kind == EXACT else (factor(chance), factor(chance))
    seed = chance.getrandbits(32) if kind == HASHED else 0
    return document(kind, tensors, parent, parts, lanes=lanes, alpha=alpha, beta=beta, seed=seed, version=version)


def factor(chance: Random) -> int:
    """Mostly 1."""
    return chance.choice([ONE, ONE, ONE, 0, -ONE, ONE // 2, chance.randint(-(1 << 20), 1 << 20)])


def allowed(kind: int, each: Tensor) -> bool:
    """Whether such a payload may touch it."""
    return each.size > 0 and (kind == EXACT or each.grid is not None or each.half or each.dtype == "I8")


def grid_code(chance: Random, grid: int) -> int:
    """What becomes of a grid: mostly that it stays."""
    coarser = [1 + by for by in (1, 3, 20, grid + 100) if 0 < by <= grid + 100]
    return chance.choice([0, 0, 1, *coarser])


def part(chance: Random, kind: int, each: Tensor, version: int) -> Part:
    """What is done to a tensor."""
    code = grid_code(chance, each.grid) if version >= 3 and each.grid is not None else 0
    step = 1 if kind == EXACT else chance.choice([1, chance.randint(1, 40), chance.randint(1, 1 << 24)])
    limit = (1 << (24 if each.half else 25)) // step
    if kind == EXACT and (each.grid is None or code == 1):
        limit = (1 << BITS[each.dtype] - 1) - 1
    limit = chance.choice([limit, min(limit, 20), min(limit, 300)])
    fields: dict[str, Any] = {"step": step, "widths": widths(chance), "grid": code}
    fields["alpha"] = chance.choice([16, 0, chance.randint(0, 16)]) if version == 4 else 16
    fields["exponent"] = chance.choice([chance.randint(5, 20), chance.randint(-100, 126)]) if each.half else 0
    if kind == HASHED:
        buckets = chance.randint(1, min(each.size, 40))
        return Part(levels=[chance.randint(-limit, limit) for _ in range(buckets)], **fields)
    block = chance.randint(1, 8) if kind == SPARSE else 1
    lines = each.lines(block)
    if lines is not None and chance.random() < 0.4:
        most = chance.choice([0, 1, 3, 15])
        fields["rows"], fields["columns"] = (tuple(chance.randint(0, most) for _ in range(count)) for count in lines)
    every = block == 1 and "rows" not in fields and chance.random() < 0.5
    share = chance.choice([0.0, 0.1, 0.5, 1.0])
    numbers = {
        p: chance.randint(1, limit) * chance.choice([-1, 1]) for p in range(each.size) if chance.random() < share
    }
    return Part(numbers, block=block, every=every, **fields)


def widths(chance: Random) -> tuple[int, ...]:
    """Of ranges: what fits, wide ones, or whatever."""
    some = tuple(chance.randint(0, 12) for _ in range(chance.randint(1, 6)))
    return chance.choice([(), WIDE, (*some, 60)])
