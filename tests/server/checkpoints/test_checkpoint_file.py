"""Checkpoints are read as other software writes them, and refused with the cause where they are not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError
from tests.server.checkpoint_files import entry, mixed, raw, save, write


def test_a_file_of_the_safetensors_package_is_read(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors: dict[str, Array] = {"b": numbers, "a": np.array(4, np.int64), "empty": np.zeros((0, 2))}
    checkpoint = Checkpoint(save(tmp_path / "c", tensors))
    assert set(checkpoint.entries) == set(tensors)
    for name, array in tensors.items():
        assert np.array_equal(checkpoint.read(name), array)
        assert checkpoint.read(name).shape == array.shape


def test_every_dtype_is_read_in_any_order(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "c", mixed()))
    for name, (dtype, array) in mixed().items():
        assert checkpoint.entries[name].dtype == dtype
        assert checkpoint.read(name).tobytes() == array.tobytes()


def test_a_file_of_torch_is_read_with_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensor = torch.tensor([1.0, -2.5, 3e38], dtype=torch.bfloat16)
    save_file({"w": tensor, "flag": torch.tensor([True, False])}, tmp_path / "c")
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.read("w").tobytes() == tensor.view(torch.uint16).numpy().tobytes()
    assert checkpoint.read("flag").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("BF16", 0x7F80), ("BF16", 0xFFC0), ("F16", 0x7C00), ("F32", 0x7FC00000), ("F64", 0xFFF << 52)],
)
def test_numbers_that_are_not_finite_are_read_as_they_are(tmp_path: Path, dtype: str, bits: int) -> None:
    size = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}[dtype]
    path = raw(tmp_path / "c", {"w": entry(dtype, [1], 0, size)}, bits.to_bytes(size, "little"))
    assert Checkpoint(path).read("w").tobytes() == bits.to_bytes(size, "little")


def test_a_truth_value_of_two_is_none(tmp_path: Path) -> None:
    path = raw(tmp_path / "c", {"w": entry("BOOL", [1], 0, 1)}, b"\2")
    with pytest.raises(CheckpointError, match="neither 0 nor 1"):
        Checkpoint(path).read("w")


SOUND = entry("F32", [1], 0, 4)

HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "no tensors": ({"__metadata__": {}}, b"", "no tensors"),
    "not JSON": (b"{nothing", b"", "cannot be read"),
    "not UTF-8": (b'{"\xff": 1}', b"", "cannot be read"),
    "a list": (b"[1, 2]", b"", "cannot be read"),
    "deep": (b'{"a":' * 60_000 + b"1" + b"}" * 60_000, b"", "cannot be read"),
    "a name twice": (b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' * 1 + b'"w":1}', b"", "twice"),
    "a dtype of tomorrow": ({"w": entry("F8_E4M3", [1], 0, 1)}, b"x", "dtype F8_E4M3 cannot be shipped; cast"),
    "a dtype that is none": ({"w": entry([], [1], 0, 1)}, b"x", "cannot be read"),  # type: ignore[arg-type]
    "no shape": ({"w": {"dtype": "F32", "data_offsets": [0, 4]}}, b"abcd", "cannot be read"),
    "a shape of text": ({"w": SOUND | {"shape": "1"}}, b"abcd", "impossible shape"),
    "a negative side": ({"w": SOUND | {"shape": [-1]}}, b"abcd", "impossible shape"),
    "a side of half": ({"w": SOUND | {"shape": [0.5]}}, b"abcd", "impossible shape"),
    "a true side": ({"w": SOUND | {"shape": [True]}}, b"abcd", "impossible shape"),
    "a side of everything": ({"w": SOUND | {"shape": [1 << 60]}}, b"abcd", "impossible shape"),
    "many sides": ({"w": SOUND | {"shape": [1] * 40}}, b"abcd", "40 dimensions"),
    "three offsets": ({"w": SOUND | {"data_offsets": [0, 4, 8]}}, b"abcd", "cannot be read"),
    "more bytes than weights": ({"w": SOUND | {"data_offsets": [0, 8]}}, b"abcdefgh", "more or fewer bytes"),
    "backwards": ({"w": SOUND | {"data_offsets": [4, 0]}}, b"abcd", "more or fewer bytes"),
    "a gap": ({"v": SOUND, "w": SOUND | {"data_offsets": [8, 12]}}, b"abcd" * 3, "w overlaps .* or leaves a gap"),
    "an overlap": ({"v": SOUND, "w": entry("U8", [2], 2, 4)}, b"abcd", "w overlaps"),
    "begins late": ({"w": SOUND | {"data_offsets": [4, 8]}}, b"abcdefgh", "w overlaps"),
    "truncated": ({"w": SOUND}, b"abc", "ends early: .* copy the file again"),
    "something behind": ({"w": SOUND}, b"abcdef", "2 bytes follow the last tensor"),
}


@pytest.mark.parametrize(("header", "data", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_whole_safetensors_file_is_refused(tmp_path: Path, header: Any, data: bytes, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        Checkpoint(raw(tmp_path / "c", header, data))


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"PK\3\4" + bytes(100), b"\x80\x02" + b"x" * 100, bytes(100), b"\xff" * 100],
    ids=["empty", "short", "zip", "pickle", "zeros", "ones"],
)
def test_another_kind_of_file_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a safetensors file.*safetensors\.torch\.save_file"):
        Checkpoint(path)


@pytest.mark.parametrize("cut", [4, 20, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    whole = save(tmp_path / "whole", {"w": np.ones((30, 4), np.float32)}).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:cut])
    with pytest.raises(CheckpointError):
        Checkpoint(tmp_path / "cut")


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match="cannot read"):
            Checkpoint(path)
