"""Run a module as its command does, and write its process's peak memory, in bytes, to a file.

The process reads its own peak at its end: a parent would see a peak that includes its own.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_bytes(status: Path = STATUS) -> int:
    """Return the peak memory of the process of a status file."""
    return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) * 1024


if __name__ == "__main__":
    _, out, *sys.argv = sys.argv
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        Path(out).write_text(str(peak_bytes()))
