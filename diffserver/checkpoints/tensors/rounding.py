"""The rounding of weights to their grids, for whoever reads a candidate's notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.tensors.snapshot import Array


@dataclass(frozen=True)
class Rounding:
    """The rounding of one tensor's weights to its grid; `most` is the largest distance."""

    tensor: str
    most: float
    largest: float
    """The tensor's largest weight."""
    lost: int = 0
    """The number of weights other than 0 that became 0."""

    @property
    def share(self) -> float:
        """The largest distance as a share of the largest weight."""
        return self.most / (self.largest or 1.0)

    @staticmethod
    def between(tensor: str, pairs: Iterable[tuple[Array, ...]]) -> Rounding:
        """Return the rounding between parts of a tensor's fp32 weights before and after."""
        most, largest_weight, lost = 0.0, 0.0, 0
        for before, after in pairs:
            most = max(most, float(np.max(np.abs(after.astype(np.float64) - before), initial=0.0)))
            largest_weight = max(largest_weight, float(np.max(np.abs(before), initial=0.0)))
            lost += int(np.count_nonzero((before != 0) & (after == 0)))
        return Rounding(tensor, most, largest_weight, lost)


def describe(roundings: Sequence[Rounding]) -> list[str]:
    """Return a line on the largest rounding; no line if no tensor is on a grid."""
    if not roundings:
        return []
    worst = max(roundings, key=lambda rounding: rounding.share)
    if not worst.most:
        return ["no weight had to be rounded to its grid"]
    lost, loser = sum(rounding.lost for rounding in roundings), max(roundings, key=lambda rounding: rounding.lost)
    smallest = f"; {lost} other than 0 became 0, {loser.lost} of them in {loser.tensor}" if lost else ""
    return [
        f"weights were rounded to their grids: the most in {worst.tensor}, by {worst.most:.2g}, "
        f"{worst.share:.1e} of its largest weight{smallest}"
    ]
