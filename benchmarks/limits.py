"""Lower bounds for coders of numbers without structure beyond their frequencies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def positions_bits(n: int, k: int) -> float:
    """Return log2 of the number of ways to choose k of n weights."""
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def entropy(values: npt.NDArray[np.integer[Any]]) -> float:
    """Return the entropy of the values in bits for each, by their frequencies; 0 without values."""
    _, counts = np.unique(values, return_counts=True)
    shares = counts / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def uniform_limit(n: int, values: npt.NDArray[np.integer[Any]]) -> float:
    """Return the bytes of values at uniform positions among n: (log2 C(n, k) + k × entropy) / 8."""
    return (positions_bits(n, len(values)) + len(values) * entropy(values)) / 8
