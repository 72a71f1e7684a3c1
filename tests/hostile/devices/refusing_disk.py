"""A disk that refuses one operation of a process: also the reading ones, which change nothing and may still fail."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ASKING = ("stat", "lstat", "listdir", "scandir", "statvfs", "access", "readlink")
CHANGING = ("open", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "utime", "chmod", "truncate")
THROUGH_DESCRIPTORS = ("fsync", "fdatasync", "ftruncate")


class RefusingDisk:
    """Counts the operations below `folder`, and refuses number `at` (None: none) with an error number."""

    def __init__(self, folder: Path, at: int | None = None, number: int = 0) -> None:
        self._folder = str(folder.resolve())
        self._at, self._number = at, number
        self.asked: list[str] = []

    @contextlib.contextmanager
    def attached(self) -> Iterator[RefusingDisk]:
        """Stand between Python and the system."""
        places: list[tuple[Any, str]] = [(os, name) for name in (*ASKING, *CHANGING, *THROUGH_DESCRIPTORS)]
        places += [(io, "open"), (builtins, "open")]
        before = [(place, name, getattr(place, name)) for place, name in places]
        for place, name, real in before:
            setattr(place, name, self._standing_for(name, real))
        try:
            yield self
        finally:
            for place, name, real in before:
                setattr(place, name, real)

    def _standing_for(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **options: Any) -> Any:
            path = arguments[0] if arguments else options.get("path", ".")
            if self._below(path):
                number = len(self.asked)
                self.asked.append(f"{name} {path}")
                if number == self._at:
                    raise OSError(self._number, os.strerror(self._number))
            return real(*arguments, **options)

        return asked

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            with contextlib.suppress(OSError):
                return os.fspath(Path(f"/proc/self/fd/{path}").readlink()).startswith(self._folder)
            return False
        return isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(self._folder)  # noqa: PTH100
