"""End what the main thread is at, from another thread: a training that is cancelled while data are read or measured.

A training looks only between two steps and two phases whether it should go on; a task's own code does not look at all.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from diffserver.training.progress import Cancelled


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Yield an act for other threads that ends the block with Cancelled; in any but the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    inside = True

    def end(_signal: int, _frame: FrameType | None) -> None:
        if inside:
            raise Cancelled("it was cancelled, or taken over")

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, end)
    try:
        yield interrupt
    finally:
        inside = False
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a late one must not end the process
