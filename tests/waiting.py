"""Waiting for something to become true, as long as it may take and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(holds: Callable[[], object], seconds: float = 90.0, pause: float = 0.1) -> None:
    """Return once something holds; fail if it takes longer than these seconds. It is looked at after each pause."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come true within {seconds:g} seconds"
        time.sleep(pause)
