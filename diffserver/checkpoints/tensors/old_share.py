"""Choose by what factor old weights enter an exact diff: whole where most stay near, less where little of them is left.

Where two trainings began at different weights, the difference to the old ones is wider than the new ones themselves.
"""

from __future__ import annotations

import numpy as np

from diffclient.diff.streams import CHUNK
from diffclient.payload import fit_codebooks
from diffclient.payload.own_alphas import UNIT, WHOLE
from diffclient.tensors import arithmetic
from diffclient.tensors.arithmetic import ONE, Ints
from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.tensors.flat import Derived, Flat

LEAST_WEIGHTS = 1 << 12
"""Fewer are not worth a format that older clients refuse."""

LEAST_GAIN = 0.02
"""Nor is less than this share of a tensor's bytes."""

_DETAIL = 2


def choose(size: int, old: Flat, new: Flat) -> int:
    """Return the 16.16 fixed-point factor, from 0 to ONE, after which about the fewest bits lead from old to new.

    Both are integers. It is judged by the tensor's first chunk: least squares, to a sixteenth.
    """
    if size < LEAST_WEIGHTS:
        return ONE
    before, after = (tensor[0 : min(size, CHUNK)].astype(np.int32, copy=False) for tensor in (old, new))
    alpha = _nearest(before, after)
    worth_it = alpha < ONE and _bits(after - arithmetic.scale(before, alpha)) < (1 - LEAST_GAIN) * _bits(after - before)
    return alpha if worth_it else ONE


def of(old: Flat, alpha: int) -> Flat:
    """Return what scaling makes of old weights, of their dtype."""
    if alpha == ONE:
        return old

    def scaled(start: int, stop: int) -> Array:
        weights = old[start:stop]
        return arithmetic.scale(weights.astype(np.int32, copy=False), alpha).astype(weights.dtype, copy=False)

    return Derived(scaled)


def _nearest(old: Ints, new: Ints) -> int:
    """Return the factor that leaves the least squares."""
    power = float(np.dot(old.astype(np.float64), old))
    return int(np.clip(np.rint(WHOLE * np.dot(old.astype(np.float64), new) / power), 0, WHOLE)) * UNIT if power else ONE


def _bits(values: Ints) -> float:
    ranges = fit_codebooks.ranges(int(values.min()), int(values.max()), _DETAIL)
    return ranges.bits(ranges.count(values.astype(np.int64)))
