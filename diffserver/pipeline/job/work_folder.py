"""Work folders: where a worker keeps the files of its training, in the system's folder for temporary files.

A worker that is killed leaves its folder. The next one to start on the machine removes it: it holds no lock any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from diffserver.errors import Invalid

LOCK = "lock"


@contextmanager
def work_folder(worker: str) -> Iterator[Path]:
    """Make the folder of a worker, first removing those of dead ones; it is gone after the block.

    Raises Invalid if the folder of all workers belongs to another user, and OSError.
    """
    workers_folder = _workers_folder()
    with _locked(workers_folder / LOCK):
        for folder in filter(_is_dead, _folders(workers_folder)):
            shutil.rmtree(folder, ignore_errors=True)
        folder = workers_folder / worker
        folder.mkdir(mode=0o700)
        lock = (folder / LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _workers_folder() -> Path:
    """Return the folder of all of this user's workers on this machine; raises Invalid."""
    workers_folder = Path(tempfile.gettempdir()) / f"diffserver-work-{os.getuid()}"
    workers_folder.mkdir(mode=0o700, exist_ok=True)
    if workers_folder.is_symlink() or workers_folder.stat().st_uid != os.getuid():
        raise Invalid(f"{workers_folder} belongs to someone else", "remove it, or set TMPDIR to a folder of your own")
    return workers_folder


def _folders(workers_folder: Path) -> list[Path]:
    return [path for path in workers_folder.iterdir() if path.is_dir()]


def _is_dead(folder: Path) -> bool:
    """Tell whether no process holds the folder's lock, or it never had one."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
