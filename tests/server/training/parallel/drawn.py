"""Tasks that processes of their own can find: points that a folder's name tells, calm, restless or with an accident."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from diffserver.methods.method import MethodError
from diffserver.tasks import Forward
from tests.server.points import Point, PointsTask
from tests.server.training.test_saved_state import Restless

FOLDERS = tuple(map(Path, ("2-2-40-2", "3-4-60-3", "0-1-70-1")))
"""Of earlier domains, and of the new one."""

ACCIDENT = 5
"""The batch at which it happens, in the second process alone."""


class Drawn(PointsTask):
    """Points whose folder says the first and last of their labels, their number and the seed."""

    def examples(self, folder: Path, split: str) -> list[Point]:
        first, last, count, seed = map(int, folder.name.split("-"))
        return self.domain(range(first, last + 1), count, seed)


class RestlessDrawn(Restless, Drawn):
    """The same with noise, dropout, and statistics that run along."""


class Faulty(Drawn):
    """The same with an accident."""

    def __init__(self, accident: str) -> None:
        self.accident, self.batches = accident, 0

    def batch(self, examples: Sequence[Point], rng: np.random.Generator, device: str) -> tuple[Tensor, Tensor]:
        self.batches += 1
        if dist.get_rank() == 1 and self.batches == ACCIDENT:
            self.meet_accident()
        return super().batch(examples, rng, device)

    def loss(self, forward: Forward, batch: Any) -> Tensor:
        if self.accident == "drift" and dist.get_rank() == 1 and self.batches == ACCIDENT:
            assert isinstance(forward, nn.Module)
            with torch.no_grad():
                next(value for value in forward.parameters() if value.requires_grad).add_(1e-3)
        return super().loss(forward, batch)

    def meet_accident(self) -> None:
        match self.accident:
            case "raise":
                raise ZeroDivisionError("nothing to divide")
            case "refuse":
                raise MethodError("this will not do")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit("no more")
            case "end":
                os._exit(0)
            case "hang":
                time.sleep(600)
