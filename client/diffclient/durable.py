"""Durable file operations: what they write survives a power cut once they return.

Every write, sync, rename and removal of the store and of the downloads passes through here, and what a server
keeps in files, so that one place says what survives a power cut and turns the system's errors into typed ones.
What the files mean is left to those who keep them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from diffclient.errors import NoSpace, StoreFailed

PRIVATE = 0o600
"""The mode of a file that its owner alone may read."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def disk_errors(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an `OSError` inside into NoSpace (`needed` bytes asked for near `path`) or StoreFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(path.parent, needed, _room_near(path)) from error
        raise StoreFailed(f"{path}: {error.strerror or error}; check the disk and its permissions") from error


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _room_near(path: Path) -> int:
    """Return the bytes that are free where `path` lies or would lie; 0 if the file system does not answer."""
    try:
        return _free_bytes(next((folder for folder in path.parents if folder.is_dir()), Path()))
    except OSError:
        return 0


def require_space(folder: Path, needed: int) -> None:
    """Raise NoSpace unless `needed` more bytes fit under `folder`, StoreFailed where that cannot be asked."""
    with disk_errors(folder):
        free = _free_bytes(folder)
    if free < needed:
        raise NoSpace(folder, needed, free)


def make_folder(path: Path) -> None:
    """Make a folder durably, and those above it, unless they exist; raises NoSpace, StoreFailed."""
    with disk_errors(path):
        if path.is_dir():
            return
    make_folder(path.parent)
    with disk_errors(path):
        path.mkdir(exist_ok=True)
        sync(path.parent)


def settle(file: BinaryIO) -> None:
    """Flush an open file and force its bytes onto the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, onto the disk and out of the cache.

    A read that follows then checks what the disk holds. Raises StoreFailed, NoSpace.
    """
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename `source` to `target` atomically and durably, replacing an existing file; raises StoreFailed, NoSpace."""
    with disk_errors(target):
        source.replace(target)
        sync(target.parent)


def write_file(path: Path, data: bytes, mode: int = 0o644, ending: str = ".new") -> None:
    """Replace `path` by `data` in one step: a reader sees the old bytes or the new ones, never a mixture.

    `ending` makes the draft's name; of writers that may meet, each needs its own. Raises NoSpace, StoreFailed.
    """
    draft = path.with_name(path.name + ending)
    remove(draft)
    _write_new(draft, data, mode)
    rename(draft, path)


def create_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that must not be there yet; a power cut may leave a part of it.

    Raises NoSpace, StoreFailed.
    """
    _write_new(path, data, mode)
    sync(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with disk_errors(path, len(data)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            settle(file)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists; raises StoreFailed."""
    with disk_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def exists(path: Path) -> bool:
    """Tell whether something of that name is there; raises StoreFailed where the disk does not say."""
    with disk_errors(path):
        return path.exists()


def names(folder: Path) -> list[Path]:
    """Return all that is in a folder; raises StoreFailed."""
    with disk_errors(folder):
        return list(folder.iterdir())


def size(path: Path) -> int:
    """Return a file's length in bytes; raises StoreFailed."""
    with disk_errors(path):
        return path.stat().st_size


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes; raises StoreFailed."""
    return digest(path, "sha256")


def digest(path: Path, algorithm: str) -> str:
    """Return the digest (hex) of a file's bytes, by an algorithm that hashlib has; raises StoreFailed."""
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
