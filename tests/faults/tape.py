"""A tape of every change below a folder, in order, as Python asks the system for it; one may be made to fail.

While `recording` lasts, the functions of `os` and `io` that change files are replaced by ones that write the tape
first. `traced` checks with strace that nothing gets past them.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import urllib3.response
from urllib3.exceptions import ProtocolError

from tests.faults.fault import Fault
from tests.faults.operation import Kind, Operation

PIECE = 256
"""Bytes of a blob that arrive at once: as the network does it, no two runs would be alike."""

_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Unlike(Exception):
    """A run does not repeat the one before it, so that its numbers mean something else."""


class Tape:
    """What was asked below `root` so far, and whether it succeeded."""

    def __init__(self, root: Path, fault: Fault | None = None, expected: Operation | None = None) -> None:
        """Write a tape; `expected` is the operation that `fault` means."""
        self.root = root.resolve()
        self.operations: list[Operation] = []
        self.failed: set[int] = set()
        """Numbers of operations that the system refused."""
        self._fault, self._expected = fault, expected
        self._lock = threading.RLock()
        self._handles: dict[int, tuple[int, str, int]] = {}
        """By descriptor: number of the opening, path, flags."""
        self._opened = 0
        self._unsynced: dict[tuple[int, int], list[tuple[int, int]]] = {}
        """By device and inode: offset and length of what was written since the last sync."""

    def inside(self, path: Any, folder: int | None = None) -> str | None:
        """Return a path relative to the root; None if it lies elsewhere."""
        if isinstance(path, int):
            return self._handles[path][1] if path in self._handles else None
        if folder is not None:
            above = self.inside(folder)
            return None if above is None else str(Path(above) / os.fsdecode(path))
        whole = Path(os.fsdecode(path)).absolute()
        return str(whole.relative_to(self.root)) if whole.is_relative_to(self.root) else None

    def open(self, call: Callable[..., int], path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        """Open a file, or a folder for reading."""
        name = self.inside(path, more.get("dir_fd"))
        if name is None:
            return call(path, flags, mode, **more)
        kind: Kind = "open" if flags & _CHANGING else "look"
        with self._lock:
            operation = Operation(kind, name, self._opened, emptied=bool(flags & os.O_TRUNC))
            descriptor: int = self._do(operation, lambda: call(path, flags, mode, **more))
            self._handles[descriptor] = (self._opened, name, flags)
            self._opened += 1
        return descriptor

    def close(self, descriptor: int) -> None:
        """Forget a descriptor."""
        with self._lock:
            self._handles.pop(descriptor, None)

    def write(self, call: Callable[[Any], int | None], descriptor: int, data: Any) -> int | None:
        """Write through a descriptor, at its place or at the end."""
        with self._lock:
            if descriptor not in self._handles:
                return call(data)
            handle, name, flags = self._handles[descriptor]
            status, given = os.fstat(descriptor), bytes(data)
            offset = status.st_size if flags & os.O_APPEND else os.lseek(descriptor, 0, os.SEEK_CUR)
            inode = (status.st_dev, status.st_ino)
            self._unsynced.setdefault(inode, []).append((offset, len(given)))
            half = given[: len(given) // 2]
            return self._do(Operation("write", name, handle, offset=offset, data=given), lambda: call(given),
                            lambda: call(half))  # fmt: skip

    def truncate(self, call: Callable[[], Any], descriptor: int, length: int) -> Any:
        """Cut a file through a descriptor, or extend it with zeros."""
        with self._lock:
            if descriptor not in self._handles:
                return call()
            handle, name, _ = self._handles[descriptor]
            return self._do(Operation("truncate", name, handle, offset=length), call)

    def sync(self, call: Callable[[int], None], descriptor: int) -> None:
        """Force a file or folder onto the disk. Where that fails, what was to be written is gone for good."""
        with self._lock:
            if descriptor not in self._handles:
                return call(descriptor)
            handle, name, _ = self._handles[descriptor]
            status = os.fstat(descriptor)
            unsynced = self._unsynced.pop((status.st_dev, status.st_ino), [])
            try:
                return self._do(Operation("sync", name, handle), lambda: call(descriptor))
            except OSError:
                _lose(Path(self.root / name), (status.st_dev, status.st_ino), unsynced)
                raise

    def named(self, kind: Kind, call: Callable[..., Any], path: Any, *more: Any, **options: Any) -> Any:
        """Do what takes one path: remove, make a folder."""
        name = self.inside(path, options.get("dir_fd"))
        if name is None:
            return call(path, *more, **options)
        return self._do(Operation(kind, name), lambda: call(path, *more, **options))

    def renamed(self, call: Callable[..., Any], source: Any, target: Any, **options: Any) -> Any:
        """Rename."""
        old, new = self.inside(source, options.get("src_dir_fd")), self.inside(target, options.get("dst_dir_fd"))
        if old is None and new is None:
            return call(source, target, **options)
        if old is None or new is None:
            raise Unlike(f"a rename into or out of {self.root}: {source} to {target}")
        return self._do(Operation("rename", old, target=new), lambda: call(source, target, **options))

    def linked(self, kind: Kind, call: Callable[..., Any], source: Any, target: Any, **options: Any) -> Any:
        """Give a file another name, or make a symbolic link."""
        name = self.inside(target, options.get("dir_fd") or options.get("dst_dir_fd"))
        if name is None:
            return call(source, target, **options)
        text = os.fsdecode(source) if kind == "symlink" else self.inside(source) or ""
        return self._do(Operation(kind, name, target=text), lambda: call(source, target, **options))

    def receive(self, call: Callable[[], bytes], url: str) -> bytes:
        """Take a piece of a body."""
        try:
            return bytes(self._do(Operation("receive", url), call))
        except ConnectionResetError as error:
            raise ProtocolError("connection broken", error) from error

    def _do(self, operation: Operation, call: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        with self._lock:
            number = len(self.operations)
            self.operations.append(operation)
            if self._fault and operation.counted and self._fault.strikes(number, operation):
                self._strike(number, operation, half)
            try:
                return call()
            except OSError:
                self.failed.add(number)
                raise

    def _strike(self, number: int, operation: Operation, half: Callable[[], Any] | None) -> None:
        assert self._fault is not None
        self.failed.add(number)
        if number == self._fault.at and self._expected and not _alike(operation, self._expected):
            raise Unlike(f"operation {number} is {operation}, and was {self._expected}")
        if half and self._fault.halves:
            half()
        self._fault.befall(operation)


def _alike(one: Operation, other: Operation) -> bool:
    """Tell whether two runs are at the same operation; names of drafts may be random."""
    return (one.kind, Path(one.path).parent) == (other.kind, Path(other.path).parent)


def _lose(path: Path, inode: tuple[int, int], unsynced: list[tuple[int, int]]) -> None:
    """Put zeros where nothing reached the disk: after a failed sync the pages count as clean, and go."""
    if not path.is_file() or (path.stat().st_dev, path.stat().st_ino) != inode:
        return
    descriptor = _OS["open"](path, os.O_WRONLY)
    for offset, length in unsynced:
        kept = min(length, os.fstat(descriptor).st_size - offset)
        if kept > 0:
            _OS["pwrite"](descriptor, bytes(kept), offset)
    _OS["close"](descriptor)


class _File(io.FileIO):
    """An open file whose writes are on the tape."""

    def __init__(self, tape: Tape, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._tape = tape
        super().__init__(file, mode, closefd, opener or (lambda path, flags: os.open(path, flags, 0o666)))

    def write(self, data: Any) -> Any:
        return self._tape.write(super().write, self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        return int(self._tape.truncate(lambda: super(_File, self).truncate(size), self.fileno(), length))

    def close(self) -> None:
        if not self.closed:
            self._tape.close(self.fileno())
        super().close()


_OS: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("open", "close", "pwrite")}


@contextlib.contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Write the tape while the block lasts."""
    changes: list[tuple[Any, str, Any]] = [
        *((os, name, function) for name, function in _functions(tape).items()),
        (io, "open", _open(tape, io.open)),
        (builtins, "open", _open(tape, builtins.open)),
        (urllib3.response.HTTPResponse, "read1", _read1(tape)),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in changes]
    for place, name, function in changes:
        setattr(place, name, function)
    try:
        yield tape
    finally:
        for place, name, function in before:
            setattr(place, name, function)


def _functions(tape: Tape) -> dict[str, Callable[..., Any]]:
    """Return what replaces the functions of `os`."""
    real = {
        name: getattr(os, name)
        for name in (
            "open", "close", "write", "pwrite", "fsync", "fdatasync", "truncate", "ftruncate", "rename", "replace",
            "unlink", "remove", "mkdir", "rmdir", "link", "symlink",
        )
    }  # fmt: skip

    def close(descriptor: int) -> None:
        tape.close(descriptor)
        real["close"](descriptor)

    def unforeseen(*_arguments: Any, **_options: Any) -> None:
        raise Unlike("a call that the tape does not know: teach it")

    return {
        "open": lambda *a, **o: tape.open(real["open"], *a, **o),
        "close": close,
        "write": lambda fd, data: tape.write(lambda part: real["write"](fd, part), fd, data),
        "pwrite": unforeseen,
        "truncate": unforeseen,
        "ftruncate": lambda fd, length: tape.truncate(lambda: real["ftruncate"](fd, length), fd, length),
        "fsync": lambda fd: tape.sync(real["fsync"], fd if isinstance(fd, int) else fd.fileno()),
        "fdatasync": lambda fd: tape.sync(real["fdatasync"], fd if isinstance(fd, int) else fd.fileno()),
        "rename": lambda *a, **o: tape.renamed(real["rename"], *a, **o),
        "replace": lambda *a, **o: tape.renamed(real["replace"], *a, **o),
        "unlink": lambda *a, **o: tape.named("unlink", real["unlink"], *a, **o),
        "remove": lambda *a, **o: tape.named("unlink", real["remove"], *a, **o),
        "mkdir": lambda *a, **o: tape.named("mkdir", real["mkdir"], *a, **o),
        "rmdir": lambda *a, **o: tape.named("rmdir", real["rmdir"], *a, **o),
        "link": lambda *a, **o: tape.linked("link", real["link"], *a, **o),
        "symlink": lambda *a, **o: tape.linked("symlink", real["symlink"], *a, **o),
    }


def _open(tape: Tape, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what replaces `open`: as it was, but for files that are written below the root."""

    def opened(
        file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if tape.inside(file) is None or not set(mode) & set("wax+"):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _File(tape, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else os.fstat(raw.fileno()).st_blksize
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    return opened


def _read1(tape: Tape) -> Callable[..., bytes]:
    """Return what replaces reading from a response: pieces of one size, each on the tape."""

    def read1(self: urllib3.HTTPResponse, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        url = str(self.geturl())
        size = PIECE if "/v1/blobs/" in url else amt
        return tape.receive(lambda: self.read(size, decode_content=decode_content), url)

    return read1
