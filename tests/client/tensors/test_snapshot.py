from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from diffclient.errors import RangeError, SnapshotError
from diffclient.tensors.snapshot import Array, Snapshot, digest, enter_grid, fp32_bytes, read_into, write_snapshot
from tests.factories import tensors, write_version


def test_a_snapshot_reads_back_as_written_and_keeps_its_digest(tmp_path: Path) -> None:
    version = write_version(tmp_path / "a.safetensors")
    assert version.snapshot.digest() == version.digest
    _, arrays = enter_grid(tensors())
    for name, array in arrays.items():
        assert np.array_equal(version.snapshot.read(name), array)


def test_a_snapshot_is_a_safetensors_file(tmp_path: Path) -> None:
    version = write_version(tmp_path / "a.safetensors")
    for name, array in load_file(version.snapshot.path).items():
        assert np.array_equal(array, version.snapshot.read(name))


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    first, second = (write_version(tmp_path / name).snapshot.path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_tensors_off_the_grid_travel_as_they_are(tmp_path: Path) -> None:
    mixed: dict[str, Array] = {
        "half": np.ones(3, np.float16),
        "steps": np.array(7, np.int64),
        "flag": np.zeros(2, np.uint8),
    }
    table, arrays = enter_grid(mixed)
    write_snapshot(tmp_path / "mixed", table, [arrays[spec.name] for spec in table])
    assert [spec.grid for spec in table] == [None] * 3
    assert Snapshot(tmp_path / "mixed").read("steps") == 7


def test_the_digest_depends_on_every_byte_and_every_field_of_the_table(tmp_path: Path) -> None:
    table, _ = enter_grid(tensors())
    hashes = [bytes([i]) * 32 for i in range(len(table))]
    seen = {digest(table, hashes), digest(table, hashes[::-1])}
    for field, value in {"name": "x", "shape": (1,), "dtype": "F16", "grid": 3}.items():
        changed = table[0].__class__(**{**table[0].__dict__, field: value})
        seen.add(digest((changed, *table[1:]), hashes))
    assert len(seen) == 6


def test_fp32_bytes_counts_every_weight_as_four_bytes(tmp_path: Path) -> None:
    assert fp32_bytes(write_version(tmp_path / "a").table) == 4 * (24 * 8 * 5 + 24 + 30 * 24 + 1)


@pytest.mark.parametrize("off_grid", [(), ("w",)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_weights_never_enter(bad: float, dtype: type, off_grid: tuple[str, ...]) -> None:
    with pytest.raises(RangeError, match=r"^w: .*not finite"):
        enter_grid({"w": np.array([1, bad], dtype)}, off_grid=off_grid)


@pytest.mark.parametrize("bad", [0x7F80, 0xFF80, 0x7FC1])
def test_non_finite_bfloat16_never_enters(bad: int) -> None:
    with pytest.raises(RangeError, match=r"^w: .*not finite"):
        enter_grid({"w": np.array([0x3F80, bad], np.uint16)}, dtypes={"w": "BF16"})


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_infinities_of_a_constant_stay_to_the_bit_and_off_the_grid(dtype: type) -> None:
    mask: Array = np.array([0, -np.inf, np.inf, np.nan, -0.0], dtype)
    table, arrays = enter_grid({"mask": mask}, constants=["mask"])
    assert table[0].grid is None
    assert arrays["mask"].tobytes() == (mask + 0).tobytes(), "but for minus zero"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.uint16])
def test_minus_zero_becomes_plus_zero_and_nothing_else_changes_off_the_grid(dtype: type) -> None:
    bits = np.array([1 << (8 * np.dtype(dtype).itemsize - 1), 0, 1, 0x1234], f"u{np.dtype(dtype).itemsize}")
    table, arrays = enter_grid({"w": bits.view(dtype)}, off_grid=["w"], dtypes={"w": "BF16"})
    assert arrays["w"].view(bits.dtype).tolist() == [0, 0, 1, 0x1234]
    assert arrays["w"].dtype == dtype
    assert table[0].grid is None


def test_dtypes_have_the_names_of_the_format() -> None:
    dtypes = {"a": np.bool_, "b": np.uint16, "c": np.int8, "d": np.uint8}
    arrays: dict[str, Array] = {name: np.zeros((), dtype) for name, dtype in dtypes.items()}
    table, entered = enter_grid(arrays, dtypes={"b": "BF16", "d": "BOOL"})
    assert [spec.dtype for spec in table] == ["BOOL", "BF16", "I8", "BOOL"]
    assert entered["a"].dtype == entered["d"].dtype == np.uint8
    assert entered["b"].shape == ()


@pytest.mark.parametrize("dtype", ["complex64", "uint16"])
def test_a_dtype_without_a_name_is_refused(dtype: str) -> None:
    with pytest.raises(SnapshotError, match=f"{dtype} cannot be shipped"):
        enter_grid({"w": np.zeros(2, dtype)})


def header_of(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


GRIDLESS = {"__metadata__": {"grid": "{}"}}
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HUGE = 1 << 62
FOUR_HUGE = GRIDLESS | {
    name: {"dtype": "U8", "shape": [1 << 31, 1 << 31], "data_offsets": [at * HUGE, (at + 1) * HUGE]}
    for at, name in enumerate("abcd")
}
HOSTILE = {
    "empty": b"",
    "no header": b"\0" * 8,
    "endless header": struct.pack("<Q", 1 << 60) + b"{}",
    "header cut short": header_of(GRIDLESS)[:-9],
    "not json": struct.pack("<Q", 8) + b"notjson!",
    "deep json": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "no grids": header_of({"__metadata__": {}}),
    "grids are a list": header_of({"__metadata__": {"grid": "[]"}, "a": ENTRY}),
    "offsets overlap": header_of(GRIDLESS | {"a": ENTRY, "b": ENTRY}) + b"\0" * 8,
    "gap between tensors": header_of(GRIDLESS | {"a": ENTRY | {"data_offsets": [4, 8]}}) + b"\0" * 8,
    "names out of order": header_of(GRIDLESS | {"b": ENTRY, "a": ENTRY | {"data_offsets": [4, 8]}}) + b"\0" * 8,
    "unknown dtype": header_of(GRIDLESS | {"a": ENTRY | {"dtype": "F8"}}) + b"\0" * 4,
    "negative shape": header_of(GRIDLESS | {"a": ENTRY | {"shape": [-1]}}) + b"\0" * 4,
    "terabytes promised": header_of(GRIDLESS | {"a": ENTRY | {"shape": [1 << 38], "data_offsets": [0, 1 << 40]}}),
    "a sum past 2^64": header_of(FOUR_HUGE),
    "bytes left over": header_of(GRIDLESS | {"a": ENTRY}) + b"\0" * 5,
    "bytes missing": header_of(GRIDLESS | {"a": ENTRY}) + b"\0" * 3,
    "grid on integers": header_of({"__metadata__": {"grid": '{"a":3}'}, "a": ENTRY | {"dtype": "I32"}}) + b"\0" * 4,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(data)
    with pytest.raises(SnapshotError):
        Snapshot(path)


def test_tensors_follow_each_other_in_an_open_snapshot(tmp_path: Path) -> None:
    snapshot = write_version(tmp_path / "a").snapshot
    with snapshot.open() as file:
        for spec in snapshot.table:
            memory = bytearray(spec.nbytes)
            read_into(file, memoryview(memory))
            assert bytes(memory) == snapshot.read(spec.name).tobytes()
        assert file.read() == b""


def test_the_digest_of_large_tensors_is_that_of_their_bytes(tmp_path: Path) -> None:
    large: dict[str, Array] = {"large": np.arange(700_000, dtype=np.int32), "none": np.zeros((3, 0), np.int8)}
    table, arrays = enter_grid(large)
    hashes = [hashlib.sha256(arrays[spec.name].tobytes()).digest() for spec in table]
    assert write_snapshot(tmp_path / "a", table, arrays.values()) == digest(table, hashes)
    assert Snapshot(tmp_path / "a").digest() == digest(table, hashes)


def test_a_file_that_becomes_shorter_is_a_snapshot_error(tmp_path: Path) -> None:
    snapshot = write_version(tmp_path / "a").snapshot
    with snapshot.path.open("rb+") as file:
        file.truncate(snapshot.path.stat().st_size - 1)
    with pytest.raises(SnapshotError, match="shorter"):
        snapshot.digest()


def test_a_missing_file_is_a_snapshot_error(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="No such file"):
        Snapshot(tmp_path / "none")
