"""A description of the machine that a benchmark ran on, for its report."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("numpy", "zstandard")


def describe(device: str = "cpu") -> dict[str, str | int | float]:
    """Return processor, cores, memory, system, Python, libraries, and the current load; and the GPU that torch uses."""
    found: dict[str, str | int | float] = {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(_first("/proc/meminfo", "MemTotal").split()[0]) // 1000,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "load_at_start": round(os.getloadavg()[0], 2),
    }
    return found if device == "cpu" else found | {"gpu": _gpu(device)}


def _gpu(device: str) -> str:
    import torch  # which most benchmarks do without

    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return ""
