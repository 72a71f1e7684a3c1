"""A checkpoint against its parent: what does not fit is named, what fits arrives to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array, Snapshot
from diffclient.tensors.tensor_table import DTYPES
from diffserver.checkpoints.changes import describe_outgrown, exact, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import fit
from diffserver.checkpoints.tensors.rounding import describe
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
    expected = mixed(1)
    after = arrived(parent, Checkpoint(write(tmp_path / "c", expected)), tmp_path / "version")
    for spec in parent.table:
        if spec.grid is None:
            assert after.read(spec.name).tobytes() == expected[spec.name][1].tobytes(), spec.name
        else:
            off = np.abs(after.read(spec.name).astype(np.float64) - expected[spec.name][1])
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
        fit(Checkpoint(write(tmp_path / "c", tensors)), parent.table)


def test_of_many_that_do_not_fit_a_few_are_named(parent: Snapshot, tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "c", {"only": ("U8", np.zeros(1))}))
    with pytest.raises(CheckpointError, match=r"lacks bfloat, .* and 6 more; it has tensors .*: only"):
        fit(checkpoint, parent.table)


NOT_FINITE = [
    ("bfloat", 0x7F80),
    ("double", 0x7FF << 52),
    ("grid", 0x7F80_0000),
    ("half", 0x7C01),
    ("off", 0xFF80_0000),
]


@pytest.mark.parametrize(("name", "bits"), NOT_FINITE)
def test_a_tensor_that_was_finite_stays_finite(parent: Snapshot, tmp_path: Path, name: str, bits: int) -> None:
    tensors = dict(mixed(1))
    tensors[name][1].reshape(-1).view(f"u{tensors[name][1].itemsize}")[3] = bits
    with pytest.raises(CheckpointError, match=f"{name} holds a number that is not finite; repair"):
        list(find_changes(Checkpoint(write(tmp_path / "c", tensors)), parent))


@pytest.mark.parametrize(("dtype", "width"), [("BF16", 16), ("F16", 16), ("F32", 32), ("F64", 64)])
def test_a_constant_with_infinities_arrives_to_the_bit(tmp_path: Path, dtype: str, width: int) -> None:
    infinite = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F80_0000, "F64": 0x7FF << 52}[dtype]
    before = np.array([0, infinite, infinite | 1 << width - 1, 1], f"u{width // 8}")
    after = np.array([infinite | 1 << width - 1, infinite + 1, 0, 1], before.dtype)
    masks = [{"mask": (dtype, bits.view(DTYPES[dtype]))} for bits in (before, after)]
    parent = version(tmp_path / "parent", masks[0], constants=["mask"])
    assert parent.table[0].grid is None
    assert parent.read("mask").tobytes() == before.tobytes()
    arrives = arrived(parent, Checkpoint(write(tmp_path / "c", masks[1])), tmp_path / "version")
    assert arrives.read("mask").tobytes() == after.tobytes()


def test_tensors_that_outgrow_their_grids_arrive_in_the_same_line(parent: Snapshot, tmp_path: Path) -> None:
    expected = dict(mixed(1)) | {"grid": ("F32", mixed(1)["grid"][1] * 200)}
    after = arrived(parent, Checkpoint(write(tmp_path / "c", expected)), tmp_path / "version")
    old, new = ({spec.name: spec.grid for spec in snapshot.table} for snapshot in (parent, after))
    assert new.pop("grid") == (old.pop("grid") or 0) - 7
    assert new == old
    off = np.abs(after.read("grid").astype(np.float64) - expected["grid"][1])
    assert off.max() <= 2.0**-16
    back = arrived(after, Checkpoint(parent.path), tmp_path / "back")
    assert back.table == after.table, "a grid is never made finer again"
    assert np.abs(back.read("grid") - parent.read("grid")).max() <= 2.0**-16


def test_what_became_of_an_outgrown_tensor_is_told(parent: Snapshot, tmp_path: Path) -> None:
    tensors = dict(mixed(0))
    tensors["grid"][1][0, 0] = 10
    changes = list(find_changes(Checkpoint(write(tmp_path / "c", tensors)), parent))
    line = "grid holds a weight of 10, and its grid ends at 4: "
    assert describe_outgrown(changes, exact(changes)) == [line + "its new one ends at 128"]
    cut = Diff("sparse", (None,) * len(changes))
    assert describe_outgrown(changes, cut) == [line + "it is cut there, for only an exact diff can give it another"]
