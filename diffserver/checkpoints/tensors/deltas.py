"""Exact streams from a tensor before to the same after: held if it is small, else computed whenever they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Computed, Exact, chunks
from diffclient.tensors import ordinals
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.tensors.flat import Flat

HELD = 1 << 14
"""The most weights of a tensor whose stream is held: of many small ones, files would be opened again and again."""

Stream = Exact | Computed


def of_ordinals(spec: TensorSpec, old: Flat, new: Flat) -> Stream:
    """Return the stream between weights off the grid."""
    return _stream(spec.size, lambda start, stop: ordinals.subtract(new[start:stop], old[start:stop], spec.dtype))


def of_units(spec: TensorSpec, old: Flat, new: Flat) -> Stream:
    """Return the stream between weights on one grid, in its units (int32)."""
    return _stream(spec.size, lambda start, stop: new[start:stop] - old[start:stop])


def change_anything(stream: Stream, spec: TensorSpec) -> bool:
    """Tell whether a stream holds a delta."""
    return any(len(stream.part(*chunk)[0]) for chunk in chunks(spec.size))


def _stream(size: int, compute: Callable[[int, int], npt.NDArray[np.signedinteger[Any]]]) -> Stream:
    computed = Computed(size, compute)
    return Exact(*computed.part(0, size)) if size <= HELD else computed
