"""End what the main thread is at, from another thread: a training that is cancelled while data are read or measured.

A training looks between two steps and two phases whether it should go on; a task's own code does not look at all.
What was interrupted may have left anything behind in its process, which had better start anew.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from diffserver.training.progress import Cancelled

IMPORTS = "<frozen importlib._bootstrap>"


class Interrupt:
    """What ends a block of the main thread; does nothing to blocks of others, and nothing after the block."""

    def __init__(self) -> None:
        self.armed = threading.current_thread() is threading.main_thread()
        self.fired = False

    def __call__(self) -> None:
        """Raise Cancelled in the block; in the middle of an import, which it would break, at a later call."""
        if self.armed:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def end(self, _signal: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.armed and not _imports(frame):
            self.fired = True
            raise Cancelled("it was cancelled, or taken over")


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Yield what ends the block, for other threads to call."""
    interrupt = Interrupt()
    if interrupt.armed:
        signal.signal(signal.SIGUSR1, interrupt.end)
    try:
        yield interrupt
    finally:
        if interrupt.armed:
            interrupt.armed = False
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a late one must not end the process


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTS:
            return True
        frame = frame.f_back
    return False
