"""The ways in which an operation can fail, and their effect on the process."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from typing import Literal, NoReturn

from tests.faults.operation import Operation

Way = Literal[
    "killed", "killed half way", "ENOSPC", "ENOSPC from there on", "EIO", "EIO from there on", "reset",
]  # fmt: skip
"""`half way`: half of a write has reached the file. `reset`: the connection breaks."""


@dataclass(frozen=True)
class Fault:
    """Operation number `at` fails in this way."""

    at: int
    way: Way

    def strikes(self, number: int, operation: Operation) -> bool:
        """Tell whether the fault hits this operation."""
        lasting = self.way.endswith("from there on") and operation.kind != "receive"
        return number == self.at or (lasting and number > self.at)

    @property
    def halves(self) -> bool:
        """Whether half of a write is carried out, as on a disk that fills up."""
        return self.way == "killed half way" or self.way.startswith("ENOSPC")

    def strike(self, operation: Operation) -> NoReturn:
        """Kill this process, or raise the system's error."""
        if self.way.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.way == "reset":
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        number = getattr(errno, self.way.split()[0])
        raise OSError(number, os.strerror(number), operation.path)


def ways(operation: Operation) -> tuple[Way, ...]:
    """Return every way in which this operation can fail without a power cut."""
    if operation.kind == "receive":
        return ("killed", "reset")
    half: tuple[Way, ...] = ("killed half way",) if operation.kind == "write" else ()
    return ("killed", *half, "ENOSPC", "ENOSPC from there on", "EIO", "EIO from there on")
