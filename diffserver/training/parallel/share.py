"""A task as one of several processes trains on it: its share of every batch, and the mean of all gradients.

The training loop takes it in place of the task, and knows nothing of other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffserver.tasks import Batch, Example, Forward
from diffserver.training.batches import Subject


class Share:
    """Every n-th example of each batch, from the rank's on; all processes have to draw the same batches."""

    def __init__(self, task: Subject, seed: int, rank: int, count: int, here: Callable[[], int]) -> None:
        """Share the batches of `task`; `here` says that this process waits for no other, and returns its step."""
        self._task, self._seed, self._rank, self._count, self._here = task, seed, rank, count, here
        self._together: nn.Module | None = None

    def size(self, example: Example) -> int:
        """Return an example's size."""
        return self._task.size(example)

    def batch(self, examples: Sequence[Example], _rng: object, device: str) -> Batch:
        """Return the weight and the batch of this process's share, augmented by a generator of its own.

        Dropout is seeded here, too: who goes on from a state, which is that of one process, draws the same numbers.
        """
        own = examples[self._rank :: self._count]
        rng = np.random.default_rng([self._seed, self._here(), self._rank])
        torch.manual_seed(int(rng.integers(1 << 62)))
        return len(own) * self._count / len(examples), self._task.batch(own, rng, device)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Return the loss of the whole batch, as the mean over its examples; gradients are this share's."""
        weight, own = batch
        if self._together is None:
            assert isinstance(forward, nn.Module)
            # A network may have weights that a loss does not use; nobody could tell us so here.
            self._together = DistributedDataParallel(forward, find_unused_parameters=True)
        loss: Tensor = weight * self._task.loss(self._together, own)
        whole = loss.detach() / self._count
        self._here()
        dist.all_reduce(whole)
        return loss + (whole - loss.detach())
