"""A file that is hashed and written in background threads while the caller makes its bytes.

One thread hashes and one writes, each taking the pieces in order, while the next piece is made: all three
leave Python's lock for most of their time. The memory is a fixed ring of buffers.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from diffclient import durable

BUFFERS = 3
"""One is filled while another is hashed and written; the third is slack."""

WRITE = 1 << 20
"""Bytes of one write: of 4 MiB each, they took two to eight times as long on ext4."""


@dataclass
class _Buffer:
    memory: memoryview
    jobs: list[Future[Any]] = field(default_factory=list)
    """Jobs that still read the memory."""

    def settle(self) -> None:
        """Wait until the memory is free; raises the error of a thread."""
        while self.jobs:
            self.jobs.pop().result()


class Writer:
    """A new file, written as a sequence of tensors of which each has a SHA-256.

    Its methods raise OSError as the file system does, at once or a few pieces later.
    """

    def __init__(self, path: Path, room: int) -> None:
        """Create `path`, which must not exist; no piece is larger than `room` bytes."""
        self._file = path.open("xb")
        self._ring = deque(_Buffer(memoryview(bytearray(room))) for _ in range(BUFFERS))
        self._hashing, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._hashes: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both threads, also after an error, and close the file."""
        for pool in (self._hashing, self._writing):
            pool.shutdown(cancel_futures=True)
        self._file.close()

    def head(self, data: bytes) -> None:
        """Write what precedes the tensors and is not hashed."""
        self._file.write(data)

    def begin(self) -> None:
        """Begin the next tensor."""
        self._hashes.append(hashlib.sha256())

    def room(self, size: int) -> memoryview:
        """Return memory for the next `size` bytes, once the threads are done with it."""
        self._ring[0].settle()
        return self._ring[0].memory[:size]

    def put(self, piece: memoryview) -> None:
        """Hash and write the memory that `room` gave; it must not be touched any more."""
        self._ring[0].jobs = [
            self._hashing.submit(self._hashes[-1].update, piece),
            self._writing.submit(self._write, piece),
        ]
        self._ring.rotate(-1)

    def _write(self, piece: memoryview) -> None:
        for start in range(0, len(piece), WRITE):
            self._file.write(piece[start : start + WRITE])

    def settle(self) -> list[bytes]:
        """Force every byte onto the disk; return each tensor's SHA-256."""
        for buffer in self._ring:
            buffer.settle()
        durable.settle(self._file)
        return [tensor_hash.digest() for tensor_hash in self._hashes]
