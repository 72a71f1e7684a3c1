"""Exact streams from a tensor before to the same after: held if it is small, else computed whenever they are read."""

from __future__ import annotations

from collections.abc import Callable

from diffclient.diff.streams import Computed, Exact, chunks, may_scale
from diffclient.tensors import ordinals
from diffclient.tensors.arithmetic import ONE, Values
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.tensors import old_share
from diffserver.checkpoints.tensors.flat import Flat

HELD = 1 << 14
"""The most weights of a tensor whose stream is held: of many small ones, files would be opened again and again."""

Stream = Exact | Computed


def of_ordinals(spec: TensorSpec, old: Flat, new: Flat) -> Stream:
    """Return the stream between weights off the grid."""
    alpha = old_share.choose(spec.size, old, new) if may_scale(spec) else ONE
    from_there = old_share.of(old, alpha)
    return _stream(
        spec.size, lambda start, stop: ordinals.subtract(new[start:stop], from_there[start:stop], spec.dtype), alpha
    )


def of_units(spec: TensorSpec, old: Flat, new: Flat) -> Stream:
    """Return the stream between weights on one grid, in its units (int32)."""
    alpha = old_share.choose(spec.size, old, new)
    from_there = old_share.of(old, alpha)
    return _stream(spec.size, lambda start, stop: new[start:stop] - from_there[start:stop], alpha)


def change_anything(stream: Stream, spec: TensorSpec) -> bool:
    """Tell whether a stream holds a delta, or scales weights."""
    return stream.alpha != ONE or any(len(stream.part(*chunk)[0]) for chunk in chunks(spec.size))


def _stream(size: int, compute: Callable[[int, int], Values], alpha: int) -> Stream:
    computed = Computed(size, compute, alpha)
    return Exact(*computed.part(0, size), alpha) if size <= HELD else computed
