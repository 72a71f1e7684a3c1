"""Sound payloads for BF16, F16 and I8, whose arithmetic is their own."""

from __future__ import annotations

from tests.reference.documents import Part
from tests.reference.models import INFINITE, NARROW, NEGATIVE_ZERO, NOT_A_NUMBER, Sample, halves, sample, scattered
from tests.reference.records import EXACT, HASHED, ONE, SPARSE


def narrow_sparse() -> Sample:
    """Dtypes off the grid, with factors."""
    parts = {
        "bf": Part(scattered(21, 2, 9), block=3, step=5, exponent=9),
        "half": Part({4: 1 << 23, 5: -(1 << 22), 6: 3}, step=2, exponent=23),
        "int": Part(scattered(40, 3, 2, 30), block=4),
    }
    alpha = ONE * 3 // 4 + 1
    return sample("sparse, BF16, F16, I8 with factors", SPARSE, NARROW, parts, alpha=alpha, beta=-ONE // 3)


def narrow_bits_stay() -> Sample:
    """With alpha = 1, unchanged weights may have any bits."""
    odd = halves(NEGATIVE_ZERO, NOT_A_NUMBER, INFINITE, NEGATIVE_ZERO, 1, 0x8001) + bytes(26)
    parts = {"half": Part({3: 1, 4: 1, 5: 1, 6: -1}, exponent=126, every=True), "bf": Part({2: -1}, exponent=-100)}
    return sample("sparse, weights that are no numbers keep their bits", SPARSE, NARROW, parts, given={"half": odd})


def to_zero() -> Sample:
    """Results of -0, and those that round to it."""
    odd = halves(NEGATIVE_ZERO, 0x8001, 0x0001, 0x8000, 0x3C00) + bytes(28)
    parts = {"half": Part({3: 1, 4: -1}, exponent=0)}
    return sample("sparse, -0 becomes +0", SPARSE, NARROW, parts, alpha=ONE // 4, beta=ONE // 4, given={"half": odd})


def exact_bits_stay() -> Sample:
    """Weights with a value of 0 may have any bits."""
    odd = halves(NEGATIVE_ZERO, NOT_A_NUMBER, INFINITE, 0x3C00, 0xFE00, 0x8000) + bytes(26)
    parts = {"half": Part({3: 1, 5: 1}, every=True), "bf": Part({0: 1})}
    return sample("exact, values of 0 where weights are no numbers", EXACT, NARROW, parts, given={"half": odd})


def narrow_hashed() -> Sample:
    """Off the grid, with factors."""
    parts = {
        "bf": Part(levels=[3, -4, 0, 12], exponent=5),
        "half": Part(levels=[1, 0, -1], step=1000, exponent=14),
        "int": Part(levels=[4, 0, -4, 9]),
    }
    return sample("hashed, BF16, F16, I8 with factors", HASHED, NARROW, parts, alpha=-ONE // 2, beta=ONE + 9, seed=7)
