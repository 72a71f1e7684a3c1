from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.payload.frame import PLAIN
from diffclient.tensors import arithmetic
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.snapshot import Array, Snapshot
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.changes import exact, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.tensors import deltas, old_share
from tests.server.checkpoint_files import version, write

SIZE = 20_000
RNG = np.random.default_rng(5)


def int8(share: float) -> tuple[Array, Array]:
    """Two tensors of int8, the second of which is so much of the first, and for the rest of another training."""
    old = RNG.normal(0, 25, SIZE)
    new = share * old + np.sqrt(1 - share**2) * RNG.normal(0, 25, SIZE)
    return (np.rint(old).clip(-127, 127).astype(np.int8), np.rint(new).clip(-127, 127).astype(np.int8))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_what_is_left_of_the_old_weights_is_kept(share: float) -> None:
    assert abs(old_share.choose(SIZE, *int8(share)) / ONE - share) < 0.07


def test_where_most_weights_stay_all_are_kept_whole() -> None:
    old, _ = int8(0)
    new = np.where(RNG.random(SIZE) < 0.3, 0, old).astype(np.int8)  # a factor of 0.7 leaves the least squares
    assert old_share.choose(SIZE, old, new) == ONE


@pytest.mark.parametrize("old", [np.zeros(SIZE, np.int8), np.full(100, 9, np.int8)], ids=["zeros", "few"])
def test_nothing_is_scaled_in_vain(old: Array) -> None:
    assert old_share.choose(old.size, old, np.zeros_like(old)) == ONE


@pytest.mark.parametrize(
    ("dtype", "old", "new", "most"),
    [("I8", *int8(0.25), 0.96), ("F32", *(RNG.normal(0, 0.1, (2, SIZE)).astype(np.float32)), 0.98)],
    ids=["I8", "F32"],
)
def test_another_training_takes_fewer_bytes_and_arrives_to_the_bit(
    tmp_path: Path, dtype: str, old: Array, new: Array, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = version(tmp_path / "parent", {"w": (dtype, old)}, off_grid=())
    checkpoint = Checkpoint(write(tmp_path / "new", {"w": (dtype, new)}))
    payload = encode(exact([*find_changes(checkpoint, parent)]), parent.table, parent.digest())
    apply(parent, [open_payload(payload, parent.table, parent.digest())], tmp_path / "made")
    assert np.allclose(Snapshot(tmp_path / "made").read("w"), new, rtol=0, atol=1e-6)
    monkeypatch.setattr(old_share, "LEAST_GAIN", 1.0)
    kept_whole = encode(exact([*find_changes(checkpoint, parent)]), parent.table, parent.digest())
    assert kept_whole[4] == PLAIN
    assert len(payload) < most * len(kept_whole)


def test_a_tensor_that_is_only_scaled_changes() -> None:
    spec = TensorSpec("w", (SIZE,), "I8", None)
    old = np.rint(RNG.normal(0, 25, SIZE)).clip(-127, 127).astype(np.int8)
    stream = deltas.of_ordinals(spec, old, arithmetic.scale(old.astype(np.int32), ONE // 2).astype(np.int8))
    assert (stream.alpha, stream.part(0, SIZE)[0].size) == (ONE // 2, 0)
    assert deltas.change_anything(stream, spec)
