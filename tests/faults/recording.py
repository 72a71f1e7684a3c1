"""Replace the functions of `os` and `io` that change files by ones that go through a tape.

Recording and failing are left to `tape`.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import urllib3.response

from tests.faults.tape import RunsDiffer, Tape

PIECE = 256
"""Bytes of a blob that arrive at once, fixed so that runs are alike."""


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


@contextlib.contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Record on the tape during the block."""
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
    """Return replacements for the functions of `os`."""
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
        raise RunsDiffer("a call that the tape does not know: teach it")

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
    """Return a replacement for `open`, which differs only for files written below the root."""

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
    """Return a replacement for reading a response: pieces of one size, each on the tape."""

    def read1(self: urllib3.HTTPResponse, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        url = str(self.geturl())
        size = PIECE if "/v1/blobs/" in url else amt
        return tape.receive(lambda: self.read(size, decode_content=decode_content), url)

    return read1
