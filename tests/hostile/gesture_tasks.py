"""Gestures to train on, some of which wait to be let go, kill their worker, or fail with what no database stores."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "gestures"))

from gestures import Gestures

GATE = "GESTURES_GATE"
"""The variable that names a folder: a training that waits makes `started` there, and goes on once there is `go`."""

WAIT_SECONDS = 120.0
UNSPEAKABLE = "tensor '\ud800\0\x1b[31m\u202e' is none"


class Waiting(Gestures):
    """Waits at its gate."""

    name = "waiting"

    def build(self) -> nn.Module:
        gate, deadline = Path(os.environ[GATE]), time.monotonic() + WAIT_SECONDS
        (gate / "started").touch()
        while not (gate / "go").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return super().build()


class Killer(Gestures):
    """Ends its worker as the system does when memory is short."""

    name = "killer"

    def build(self) -> nn.Module:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().build()


class Unspeakable(Gestures):
    """Fails with half a character, NUL, an escape and an override of direction."""

    name = "unspeakable"

    def build(self) -> nn.Module:
        raise RuntimeError(UNSPEAKABLE)
