"""The boot of this machine, as polls name it: two machines that share one identity differ in it."""

from __future__ import annotations

import hashlib
import uuid
from functools import cache
from pathlib import Path

_LINUX = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id(source: Path = _LINUX) -> str:
    """Return 64 hex digits that stay until the machine starts again; where no system tells, until this process ends."""
    try:
        seed = source.read_bytes().strip()
    except OSError:
        seed = uuid.uuid4().bytes
    return hashlib.sha256(seed).hexdigest()
