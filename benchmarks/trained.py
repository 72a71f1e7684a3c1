"""Fixtures of diffs that a demo trained, in a file format independent of payloads.

A fixture is an npz file of the tensor table (JSON), the diff's kind, factors and seed, and of all tensors, one after
the other: how many values each has, their steps, the gaps between positions (sparse), the levels. It has no weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Diff, Hashed, Sparse, Stream
from diffclient.tensors.snapshot import Table, TensorSpec

FIXTURES = Path(__file__).parent / "fixtures"


def save(path: Path, table: Table, diff: Diff) -> None:
    """Write a sparse or hashed diff and its table as a fixture."""
    streams = [stream for stream in diff.streams if isinstance(stream, Sparse | Hashed)]
    sparse = [stream for stream in streams if isinstance(stream, Sparse)]
    np.savez_compressed(
        path,
        table=np.frombuffer(json.dumps([[s.name, s.shape, s.dtype, s.grid] for s in table]).encode(), np.uint8),
        kind=np.array(diff.kind),
        factors=np.array([diff.alpha, diff.beta, diff.seed]),
        touched=np.array([stream is not None for stream in diff.streams]),
        counts=np.array([len(stream.levels) for stream in streams]),
        steps=np.array([stream.step for stream in streams]),
        levels=_narrow([stream.levels for stream in streams]),
        gaps=_narrow([np.diff(stream.positions, prepend=-1) - 1 for stream in sparse]),
    )


def load(path: Path) -> tuple[Table, Diff]:
    """Return the tensor table and the diff of a fixture."""
    with np.load(path) as arrays:
        data = dict(arrays)
    table = tuple(TensorSpec(name, tuple(shape), *rest) for name, shape, *rest in json.loads(data["table"].tobytes()))
    ends = np.cumsum(data["counts"])[:-1]
    levels = np.split(data["levels"].astype(np.int32), ends)
    steps = data["steps"].tolist()
    streams: list[Stream]
    if str(data["kind"]) == "hashed":
        streams = [Hashed(values, step) for values, step in zip(levels, steps, strict=True)]
    else:
        gaps = np.split(data["gaps"].astype(np.int64), ends)
        streams = [Sparse(np.cumsum(g + 1) - 1, values, s) for g, values, s in zip(gaps, levels, steps, strict=True)]
    touched_streams = iter(streams)
    all_streams = tuple(next(touched_streams) if touched else None for touched in data["touched"])
    alpha, beta, seed = data["factors"].tolist()
    return table, Diff("hashed" if str(data["kind"]) == "hashed" else "sparse", all_streams, alpha, beta, seed)


def _narrow(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Join integers in the smallest type that holds them all."""
    joined = np.concatenate([np.empty(0, np.int64), *parts])
    low, high = (int(joined.min()), int(joined.max())) if joined.size else (0, 0)
    return joined.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))
