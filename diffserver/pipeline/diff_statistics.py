"""The shape of a diff: how many different levels it has, and how large its quantiser's steps are."""

import math
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, numbers
from diffclient.tensors.snapshot import Table, TensorSpec


@dataclass(frozen=True)
class Shape:
    """The shape of a payload's values."""

    levels: int
    """How many different ones there are in all tensors together."""
    steps: tuple[float, float] | None
    """The least and the largest step of its tensors, as weights; None if it has no steps."""


def shape_of(diff: Diff, table: Table) -> Shape:
    """Describe a diff for the table's tensors."""
    touched = [(spec, stream) for spec, stream in zip(table, diff.streams, strict=True) if stream is not None]
    levels = {int(level) for _, stream in touched for level in np.unique(numbers(stream))}
    steps = [_step(spec, stream) for spec, stream in touched if not isinstance(stream, Exact)]
    return Shape(len(levels), (min(steps), max(steps)) if steps else None)


def _step(spec: TensorSpec, stream: Sparse | Hashed) -> float:
    """A level's worth in weights; an int8 tensor is its own grid."""
    exponent = stream.exponent if stream.exponent is not None else spec.grid or 0
    return math.ldexp(stream.step, -exponent)
