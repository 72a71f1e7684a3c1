"""Durable file operations: whole or not at all, and typed when the disk refuses."""

from __future__ import annotations

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from diffclient import durable
from diffclient.errors import NoSpace, StoreFailed


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.with_name("state.new").write_bytes(b"left by a process that was killed")
    for data in (b"one", b"two"):
        durable.write_file(path, data, mode=0o600)
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "key"
    durable.create_file(path, b"one", durable.PRIVATE)
    with pytest.raises(StoreFailed, match="exists"):
        durable.create_file(path, b"two", durable.PRIVATE)
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_writers_that_meet_leave_one_of_their_files_whole(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(durable.write_file, tmp_path / "root", data, ending=f".{data[0]}") for data in contents]
    assert [write.result() for write in writes] == [None] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert (tmp_path / "root").read_bytes() in contents


def test_a_full_disk_keeps_the_old_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges that this machine does not give")
    try:
        durable.write_file(folder / "state", b"old")
        with pytest.raises(NoSpace) as full:
            durable.write_file(folder / "state", bytes(100_000))
        assert full.value.needed == 100_000
        assert full.value.free < 100_000
        assert (folder / "state").read_bytes() == b"old"
        with pytest.raises(NoSpace):
            durable.require_space(folder, 100_000)
        durable.require_space(folder, 0)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_the_system_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for operation in (
        lambda: durable.write_file(tmp_path / "none" / "state", b"x"),
        lambda: durable.create_file(tmp_path / "none" / "key", b"x"),
        lambda: durable.make_folder(tmp_path / "file" / "folder"),
        lambda: durable.rename(tmp_path / "none", tmp_path / "other"),
        lambda: durable.sha256(tmp_path / "none"),
        lambda: durable.size(tmp_path / "none"),
    ):
        with pytest.raises(StoreFailed, match=str(tmp_path)):
            operation()


def test_removing_takes_files_folders_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "link", "none"):
        durable.remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
