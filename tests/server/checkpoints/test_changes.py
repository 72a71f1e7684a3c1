"""A checkpoint against its parent: what does not fit is named, what fits arrives to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.checkpoints.changes import describe, exact, find_changes, require_fit
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError
from tests.server.checkpoint_files import mixed, version, write

Tensors = Mapping[str, tuple[str, Array]]


@pytest.fixture
def parent(tmp_path: Path) -> Snapshot:
    return version(tmp_path / "parent", mixed(0))


def arrived(parent: Snapshot, checkpoint: Checkpoint, out: Path) -> Snapshot:
    """The version that the exact diff makes, by way of its payload."""
    digest = parent.digest()
    data = encode(exact(list(find_changes(checkpoint, parent))), parent.table, digest)
    apply(parent, [open_payload(data, parent.table, digest)], out)
    return Snapshot(out)


def test_every_dtype_arrives_to_the_bit_and_the_grid_within_its_half(parent: Snapshot, tmp_path: Path) -> None:
    wanted = mixed(1)
    after = arrived(parent, Checkpoint(write(tmp_path / "c", wanted)), tmp_path / "version")
    for spec in parent.table:
        if spec.grid is None:
            assert after.read(spec.name).tobytes() == wanted[spec.name][1].tobytes(), spec.name
        else:
            off = np.abs(after.read(spec.name).astype(np.float64) - wanted[spec.name][1])
            assert off.max() <= 2.0 ** (-spec.grid - 1)


def test_a_snapshot_is_a_checkpoint_too_and_nothing_of_it_moves(parent: Snapshot, tmp_path: Path) -> None:
    other = version(tmp_path / "other", mixed(1))
    grids = {spec.name: spec.grid for spec in parent.table}
    assert grids == {spec.name: spec.grid for spec in other.table}, "or rounding would be needed"
    checkpoint = Checkpoint(other.path)
    assert arrived(parent, checkpoint, tmp_path / "version").digest() == other.digest()
    roundings = [change.rounding for change in find_changes(checkpoint, parent) if change.rounding]
    assert describe(roundings) == ["no weight had to be rounded to its grid"]


def test_the_parents_own_weights_change_nothing(parent: Snapshot) -> None:
    assert exact(list(find_changes(Checkpoint(parent.path), parent))).carried == 0


def test_minus_zero_becomes_plus_zero(parent: Snapshot, tmp_path: Path) -> None:
    tensors = dict(mixed(0))
    for name in ("bfloat", "double", "grid", "half", "off"):
        dtype, array = tensors[name]
        bits = array.reshape(-1).view(f"u{array.itemsize}").copy()
        bits[0] = 1 << (8 * array.itemsize - 1)
        tensors[name] = (dtype, bits.view(array.dtype).reshape(array.shape))
    after = arrived(parent, Checkpoint(write(tmp_path / "c", tensors)), tmp_path / "version")
    for name in ("bfloat", "double", "grid", "half", "off"):
        assert not after.read(name).reshape(-1)[:1].view(np.uint8).any(), name


def test_the_largest_rounding_is_told_with_its_tensor(parent: Snapshot, tmp_path: Path) -> None:
    tensors = dict(mixed(0))
    grid = next(spec.grid for spec in parent.table if spec.name == "grid")
    assert grid is not None
    shifted = parent.read("grid").astype(np.float64)
    shifted[3, 3] += 0.25 * 2.0**-grid
    tensors["grid"] = ("F32", shifted.astype(np.float32))
    (rounded,) = [
        change for change in find_changes(Checkpoint(write(tmp_path / "c", tensors)), parent) if change.rounding
    ]
    assert rounded.rounding is not None
    assert 0 < rounded.rounding.most <= 0.26 * 2.0**-grid
    (line,) = describe([rounded.rounding])
    assert "rounded to their grids: the most in grid, by" in line


def without(name: str) -> Callable[[dict[str, tuple[str, Array]]], None]:
    return lambda tensors: (tensors.pop(name), None)[1]


def replaced(name: str, dtype: str, array: Array) -> Callable[[dict[str, tuple[str, Array]]], None]:
    return lambda tensors: tensors.__setitem__(name, (dtype, array))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(without("half"), "the checkpoint lacks half; save the state dict", id="missing"),
        pytest.param(replaced("more", "U8", np.zeros(1)), "that the model has not: more", id="too many"),
        pytest.param(replaced("half", "BF16", np.zeros(400)), r"half \(BF16 \[400\], the model's is F16", id="dtype"),
        pytest.param(replaced("off", "F32", np.zeros((5, 10))), r"off \(F32 \[5, 10\], .* F32 \[50\]\)", id="shape"),
    ],
)
def test_what_does_not_fit_is_named(
    parent: Snapshot, tmp_path: Path, spoil: Callable[[dict[str, tuple[str, Array]]], None], reason: str
) -> None:
    tensors = dict(mixed(1))
    spoil(tensors)
    with pytest.raises(CheckpointError, match=reason):
        require_fit(Checkpoint(write(tmp_path / "c", tensors)), parent.table)


def test_of_many_that_do_not_fit_a_few_are_named(parent: Snapshot, tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "c", {"only": ("U8", np.zeros(1))}))
    with pytest.raises(CheckpointError, match=r"lacks bfloat, .* and 6 more; it has tensors .*: only"):
        require_fit(checkpoint, parent.table)


def test_a_weight_that_leaves_its_grid_needs_a_new_model(parent: Snapshot, tmp_path: Path) -> None:
    tensors = dict(mixed(1)) | {"grid": ("F32", mixed(1)["grid"][1] * 200)}
    with pytest.raises(CheckpointError, match=r"grid holds a weight of .* its grid ends at [\d.]+; new grids"):
        list(find_changes(Checkpoint(write(tmp_path / "c", tensors)), parent))
