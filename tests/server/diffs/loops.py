"""A small classifier that knows five classes of points, and loops that teach it three more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array
from diffserver.diffs import TrainedDiff
from tests.server.points import Point, PointsTask

OLD, NEW = range(5), range(5, 8)
TASK = PointsTask()


def batch_of(points: Sequence[Point]) -> tuple[Tensor, Tensor]:
    return TASK.batch(points, np.random.default_rng(0), "cpu")


def batches(labels: Sequence[int], steps: int, seed: int, size: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    """So many batches of these classes."""
    points, rng = TASK.domain(labels, 400, seed), np.random.default_rng(seed)
    for _ in range(steps):
        yield batch_of([points[number] for number in rng.integers(0, len(points), size)])


def knowing(seed: int = 0) -> nn.Module:
    """The network, trained on the old classes."""
    network = TASK.network(seed)
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for vectors, labels in batches(OLD, 60, seed=1):
        improve(network, optimiser, vectors, labels)
    return network


def improve(network: nn.Module, optimiser: torch.optim.Optimizer, vectors: Tensor, labels: Tensor) -> None:
    """One step of the plainest of loops."""
    nn.functional.cross_entropy(network(vectors), labels).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    optimiser.zero_grad()


def teach(diff: TrainedDiff, network: nn.Module | None = None, optimiser: torch.optim.Optimizer | None = None) -> None:
    """All steps that are left, on all classes."""
    optimiser = optimiser or torch.optim.Adam(diff.parameters(), 0.02)
    for number, (vectors, labels) in enumerate(batches(range(8), diff.steps, seed=2)):
        if number >= diff.done:
            improve(network or diff.network, optimiser, vectors, labels)
            diff.step()


def errors_on(network: nn.Module, labels: Sequence[int]) -> float:
    """The share of unseen points that are put into a wrong class."""
    vectors, wanted = batch_of(TASK.domain(labels, 400, seed=9))
    with torch.no_grad():
        return float((network(vectors).argmax(1) != wanted).float().mean())


def weights(network: nn.Module) -> dict[str, Array]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
