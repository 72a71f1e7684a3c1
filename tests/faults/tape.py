"""A record of every change below a folder, in order, one of which may be made to fail.

Replacing Python's functions is left to `recording`; `traced` checks with strace that the record is complete.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from urllib3.exceptions import ProtocolError

from tests.faults.fault import Fault
from tests.faults.operation import Kind, Operation

_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


_REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("open", "close", "pwrite")}


class RunsDiffer(Exception):
    """A run that differs from the one before it, so that operation numbers do not match."""


class Tape:
    """The operations below `root` so far, and whether they succeeded."""

    def __init__(self, root: Path, fault: Fault | None = None, expected: Operation | None = None) -> None:
        """Start a tape; `expected` is the operation at which `fault` strikes."""
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
            operation = Operation("write", name, handle, offset=offset, data=given)
            written: int | None = self._do(operation, lambda: call(given), lambda: call(half))
            return written

    def truncate(self, call: Callable[[], Any], descriptor: int, length: int) -> Any:
        """Cut a file through a descriptor, or extend it with zeros."""
        with self._lock:
            if descriptor not in self._handles:
                return call()
            handle, name, _ = self._handles[descriptor]
            return self._do(Operation("truncate", name, handle, offset=length), call)

    def sync(self, call: Callable[[int], None], descriptor: int) -> None:
        """Sync a file or folder; if that fails, the unsynced data is lost."""
        with self._lock:
            if descriptor not in self._handles:
                return call(descriptor)
            handle, name, _ = self._handles[descriptor]
            status = os.fstat(descriptor)
            unsynced = self._unsynced.pop((status.st_dev, status.st_ino), [])
            try:
                self._do(Operation("sync", name, handle), lambda: call(descriptor))
            except OSError:
                _lose(Path(self.root / name), (status.st_dev, status.st_ino), unsynced)
                raise

    def named(self, kind: Kind, call: Callable[..., Any], path: Any, *more: Any, **options: Any) -> Any:
        """Carry out an operation on one path: remove, make a folder."""
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
            raise RunsDiffer(f"a rename into or out of {self.root}: {source} to {target}")
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
            raise RunsDiffer(f"operation {number} is {operation}, and was {self._expected}")
        if half and self._fault.halves:
            half()
        self._fault.strike(operation)


def _alike(left: Operation, right: Operation) -> bool:
    """Tell whether operations of two runs are the same; names of drafts may be random."""
    return (left.kind, Path(left.path).parent) == (right.kind, Path(right.path).parent)


def _lose(path: Path, inode: tuple[int, int], unsynced: list[tuple[int, int]]) -> None:
    """Write zeros over unsynced data: after a failed sync the system drops the pages as clean."""
    if not path.is_file() or (path.stat().st_dev, path.stat().st_ino) != inode:
        return
    descriptor = _REAL["open"](path, os.O_WRONLY)
    for offset, length in unsynced:
        kept = min(length, os.fstat(descriptor).st_size - offset)
        if kept > 0:
            _REAL["pwrite"](descriptor, bytes(kept), offset)
    _REAL["close"](descriptor)
