"""A child process that is started again whenever it ends, at growing intervals, and that ends with its parent.

The child watches a pipe of which the parent holds the other end: the system closes that however the parent ends, by
`kill -9` too. What the child does is not known here.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from diffserver.logs import Log

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the next start: doubled each time, up to the longest."""

STEADY_SECONDS = 60.0
"""A child that lived so long begins with the first pause again."""

LOOK_SECONDS = 0.1
GRACE_SECONDS = 30.0
"""How long a child may take to end in order."""


class Supervised:
    """A command that is kept running for as long as the block lasts; never leaves a defunct process."""

    def __init__(self, command: Sequence[str], name: str, log: Log) -> None:
        self._command, self._name, self._log = list(command), name, log
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"supervises {name}", daemon=True)
        self._state, self._starts = "starts", 0

    def __enter__(self) -> "Supervised":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child, in order if it can."""
        self._stopped.set()
        self._thread.join()

    def state(self) -> str:
        """Return the state of the child, in words."""
        again = self._starts - 1
        return self._state if again < 1 else f"{self._state} ({again} {'restart' if again == 1 else 'restarts'})"

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            began = time.monotonic()
            ended = self._live()
            if self._stopped.is_set():
                return
            if time.monotonic() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE
            self._state = f"{ended}; the next start is {pause:g} s later"
            self._log.error(f"{self._name} ended", cause=ended, starts=self._starts, again_in=pause)
            self._stopped.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _live(self) -> str:
        """One life of the child, from its start to its end; says how it ended."""
        self._starts += 1
        try:
            # A session of its own: Ctrl-C reaches it through us, after what we are doing has ended.
            child = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            return f"it could not be started: {error}"
        with child:
            self._state = "runs"
            while child.poll() is None:
                if self._stopped.wait(LOOK_SECONDS):
                    _end(child)
        return _ending(child.returncode)


def end_with_parent() -> None:
    """Have this process, a child of `Supervised`, end in order when its parent is gone, and end hard if that hangs."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="parent", daemon=True).start()


def _watch(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _ending(status: int) -> str:
    if status >= 0:
        return f"it ended with status {status}"
    return f"it was killed by signal {-status}" + (" (by hand, or out of memory)" if status == -9 else "")
