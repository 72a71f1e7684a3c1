"""Streams that are computed when they are read: coded like held ones, in memory for a chunk and the payload."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.streams import CHUNK, Computed, Diff, Exact, chunks
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.changes import exact, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from tests.server.checkpoint_files import version, write

PARENT = "0" * 64


def tensors(size: int, share: float, dtype: str = "F32") -> tuple[Array, Array]:
    """A tensor, and the same with a share of its weights moved."""
    rng = np.random.default_rng(1)
    old = rng.normal(0, 0.1, size).astype(np.float32)
    new = old + np.where(rng.random(size) < share, rng.normal(0, 0.001, size), 0).astype(np.float32)
    return (old.astype(np.float16), new.astype(np.float16)) if dtype == "F16" else (old, new)


def exact_diff(folder: Path, dtype: str, old: Array, new: Array) -> Diff:
    folder.mkdir()
    parent = version(folder / "parent", {"w": (dtype, old)}, off_grid=())
    checkpoint = Checkpoint(write(folder / "checkpoint", {"w": (dtype, new)}))
    return exact(list(find_changes(checkpoint, parent)))


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_a_computed_stream_is_coded_like_a_held_one(tmp_path: Path, dtype: str, share: float) -> None:
    diff = exact_diff(tmp_path / "a", dtype, *tensors(CHUNK + 30_000, share, dtype))
    (stream,) = diff.streams
    assert isinstance(stream, Computed)
    parts = [(start, *stream.part(start, stop)) for start, stop in chunks(stream.size)]
    positions = np.concatenate([start + places for start, places, _ in parts])
    held = Exact(positions, np.concatenate([deltas for _, _, deltas in parts]))
    table = version(tmp_path / "p", {"w": (dtype, tensors(CHUNK + 30_000, 0, dtype)[0])}, off_grid=()).table
    assert encode(diff, table, PARENT) == encode(Diff("exact", (held,)), table, PARENT)
    assert diff.carried == len(positions)


def test_small_tensors_are_held_and_unchanged_ones_have_no_stream(tmp_path: Path) -> None:
    old, new = tensors(1000, 0.5)
    assert isinstance(exact_diff(tmp_path / "a", "F32", old, new).streams[0], Exact)
    large, _ = tensors(CHUNK + 5, 0)
    assert exact_diff(tmp_path / "b", "F32", large, large).streams == (None,)


def test_memory_grows_with_the_payload_and_not_with_the_tensor(tmp_path: Path) -> None:
    peaks = []
    for size in (2 * CHUNK, 5 * CHUNK):
        old, new = tensors(size, 1.0)
        diff = exact_diff(tmp_path / str(size), "F32", old, new)
        table = version(tmp_path / f"{size}.0", {"w": ("F32", old)}, off_grid=()).table
        del old, new
        tracemalloc.start()
        payload = encode(diff, table, PARENT)
        peaks.append(tracemalloc.get_traced_memory()[1] - len(payload))
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3 * CHUNK * 3, "a byte a weight for symbols, and some for extra bits"
