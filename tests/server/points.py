"""A toy task of vectors and classes, trained in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from torch import Tensor, nn  # noqa: E402

from diffclient.measure.error_count import Errors  # noqa: E402
from diffclient.release.metric import Metric  # noqa: E402
from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot  # noqa: E402
from diffserver.methods.full import Full  # noqa: E402
from diffserver.methods.method import Method  # noqa: E402
from diffserver.methods.recipe import Recipe  # noqa: E402
from diffserver.methods.setting import Setting  # noqa: E402
from diffserver.tasks import Forward, Task  # noqa: E402
from diffserver.training.batches import Lesson  # noqa: E402
from diffserver.training.loop import train  # noqa: E402

INPUTS, CLASSES = 16, 8


@dataclass(frozen=True, eq=False)
class Point:
    """A vector and its class."""

    vector: npt.NDArray[np.float32]
    label: int


class PointsTask:
    """Tells apart noisy points around a few centres: enough to show what a method learns and forgets."""

    name = "points"
    metric = Metric("error rate", "points")

    def network(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(INPUTS, 128), nn.ReLU(), nn.Linear(128, CLASSES))

    def initial(self, seed: int = 0) -> dict[str, Array]:
        """The network's fresh weights."""
        return {name: tensor.numpy() for name, tensor in self.network(seed).state_dict().items()}

    def domain(self, labels: Sequence[int], count: int, seed: int) -> list[Point]:
        """Points of some classes; the centres are always the same."""
        centres = np.random.default_rng(99).normal(0, 1, (CLASSES, INPUTS))
        rng = np.random.default_rng(seed)
        drawn = rng.choice(labels, count)
        points = centres[drawn] + rng.normal(0, 0.6, (count, INPUTS))
        return [Point(point.astype(np.float32), int(label)) for point, label in zip(points, drawn, strict=True)]

    def size(self, example: Point) -> int:
        return example.label

    def batch(self, examples: Sequence[Point], rng: np.random.Generator, device: str) -> tuple[Tensor, Tensor]:
        vectors = np.stack([example.vector for example in examples])
        return torch.from_numpy(vectors).to(device), torch.tensor([e.label for e in examples]).to(device)

    def loss(self, forward: Forward, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(forward(batch[0]), batch[1])

    def errors(self, weights: Mapping[str, Array], examples: Sequence[Point]) -> Errors:
        """How many points these weights put into the wrong class."""
        hidden = np.stack([e.vector for e in examples]) @ weights["0.weight"].T + weights["0.bias"]
        scores = np.maximum(hidden, 0) @ weights["2.weight"].T + weights["2.bias"]
        wrong = scores.argmax(axis=1) != np.array([e.label for e in examples])
        return Errors(int(wrong.sum()), len(examples))

    def examples(self, folder: Path, split: str) -> list[Point]:
        raise NotImplementedError("points are drawn, not read")

    def graph(self, network: nn.Module) -> bytes:
        raise NotImplementedError("points are measured with numpy")

    def session(self, graph: bytes, weights: Snapshot) -> dict[str, Array]:
        raise NotImplementedError("points are measured with numpy")

    def measure(self, session: dict[str, Array], examples: Sequence[Point]) -> Errors:
        raise NotImplementedError("points are measured with numpy")

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        raise NotImplementedError("points have no probe set")

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        raise NotImplementedError("points have no probe set")


class Counting(nn.Linear):
    """A layer that counts its calls, in a buffer of its own."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__(INPUTS, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        self.calls.add_(1)
        return super().forward(vectors)


def retrained(
    task: Task,
    parent: Mapping[str, Array],
    lesson: Lesson,
    recipe: Recipe,
    network: nn.Module | None = None,
    *,
    device: str = "cpu",
    **options: Any,
) -> dict[str, Array]:
    """What full retraining makes of the parent's weights."""
    network = network or task.network(0)
    method = Full(Setting(parent, enter_grid(parent)[0], 1.0, 0, network))
    train(task, network, method, lesson, recipe, device=device, **options)
    return dict(method.result().weights)


def weights_of(method: Method) -> dict[str, Array]:
    """The weights that a network would use at this point of training."""
    with torch.no_grad():
        changed = {name: part(torch.tensor(method.parent[name])).numpy() for name, part in method.parts.items()}
    return {**method.parent, **changed}


def parameters_of(method: Method) -> list[nn.Parameter]:
    """What an optimiser would change."""
    return [parameter for part in method.parts.values() for parameter in part.parameters()]


def as_version(path: Path, weights: dict[str, Array]) -> Snapshot:
    """Write weights as a version: on the grid, in a snapshot."""
    table, arrays = enter_grid(weights)
    write_snapshot(path, table, [arrays[spec.name] for spec in table])
    return Snapshot(path)
