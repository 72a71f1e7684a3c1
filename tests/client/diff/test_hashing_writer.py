from __future__ import annotations

import hashlib
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from diffclient.diff.hashing_writer import BUFFERS, Writer


def put(writer: Writer, data: bytes) -> None:
    memory = writer.room(len(data))
    memory[:] = data
    writer.put(memory)


def test_every_tensor_is_hashed_and_the_file_holds_them_all_in_order(tmp_path: Path) -> None:
    tensors = [[bytes([n * 16 + k]) * (100_000 * n + k) for k in range(2 * BUFFERS)] for n in range(3)]
    with Writer(tmp_path / "out", 300_000) as writer:
        writer.head(b"head")
        for pieces in tensors:
            writer.begin()
            for piece in pieces:
                put(writer, piece)
        hashes = writer.settle()
    assert hashes == [hashlib.sha256(b"".join(pieces)).digest() for pieces in tensors]
    assert (tmp_path / "out").read_bytes() == b"head" + b"".join(b"".join(pieces) for pieces in tensors)


def test_a_tensor_without_weights_has_the_hash_of_nothing(tmp_path: Path) -> None:
    with Writer(tmp_path / "out", 0) as writer:
        writer.begin()
        assert writer.settle() == [hashlib.sha256().digest()]


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        Writer(tmp_path / "out", 10)
    assert (tmp_path / "out").read_bytes() == b"precious"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to write more than `size` bytes to a file, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_for_ever(path: Path) -> None:
    with Writer(path, 1 << 16) as writer:
        writer.begin()
        while True:
            put(writer, bytes(1 << 16))


def test_what_the_disk_refuses_reaches_the_one_who_fills_the_buffers_and_ends_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with files_of_at_most(1 << 20), pytest.raises(OSError, match="too large"):
        write_for_ever(tmp_path / "out")
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_the_one_who_fills_the_buffers_ends_the_threads(tmp_path: Path, error: type) -> None:
    before = set(threading.enumerate())

    def fail() -> None:
        with Writer(tmp_path / "out", 1 << 20) as writer:
            writer.begin()
            put(writer, bytes(1 << 20))
            raise error

    with pytest.raises(error):
        fail()
    assert set(threading.enumerate()) <= before
