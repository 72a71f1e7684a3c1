"""Files under way: what arrives is written to the home's folder `uploads`, and is gone however its process ends.

A file is locked by whoever writes it; one that no one holds was left by a process that died.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffclient.durable import make_folder

FOLDER = "uploads"


@contextmanager
def draft(home: Path) -> Iterator[Path]:
    """Yield a new, empty file that is removed at the end of the block."""
    make_folder(home / FOLDER)
    path, holder = _locked(home / FOLDER)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(holder)


def sweep(home: Path) -> None:
    """Remove the files that processes which died have left."""
    for path in (home / FOLDER).glob("*"):
        with suppress(OSError), path.open("rb") as file:  # another server may be sweeping too
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _locked(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / secrets.token_hex(8)
        holder = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(holder, fcntl.LOCK_EX)
        # A sweep in between would have taken it for a file that was left.
        if path.exists():
            return path, holder
        os.close(holder)
