"""Whether a link is metered, as options say it or a command tells it at each poll."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable


def metered(given: bool, command: str | None, seconds: float) -> Callable[[], bool]:
    """Return what tells whether the link is metered at this moment; a shell's command has so many seconds for it."""
    if command is None:
        return lambda: given
    # Only a command that says no is believed: one that cannot be run, or hangs, must not cost money.
    return lambda: _exit_code(command, seconds) != 1


def _exit_code(command: str, seconds: float) -> int | None:
    """Run a shell's command; return its exit code, None if it took too long. Whatever ends this ends it, too."""
    with subprocess.Popen(command, shell=True, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
