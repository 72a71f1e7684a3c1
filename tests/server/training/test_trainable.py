"""Networks that no diff can be trained of are refused before they are, with the way round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from diffserver.methods.definition import load_definition
from diffserver.tasks import TaskError
from diffserver.training.loop import Lesson
from diffserver.training.make_version import make_version
from tests.server.points import PointsTask


class Int8Linear(nn.Module):
    """An int8 matrix whose scale has another name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(8, 16, dtype=torch.int8))
        self.register_buffer(name, torch.ones(1))


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    network[1].weight = network[0].weight
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8)), "1.running_mean, 1.running_var.*LayerNorm.*--from-check"),
        (nn.Linear(16, 8).double(), "weight, bias: no float32.*--from-checkpoint"),
        (nn.Linear(16, 8, dtype=torch.bfloat16), "weight, bias: no float32.*--from-checkpoint"),
        (Int8Linear("step"), "weight, step: no parameter"),
        (tied(), "1.weight: another name of the same weights"),
        (nn.ReLU(), "has no weights"),
    ],
)
def test_a_network_of_other_weights_is_not_trained(network: nn.Module, message: str, tmp_path: Path) -> None:
    class Given(PointsTask):
        def network(self, seed: int) -> nn.Module:
            return network

    task = Given()
    lesson = Lesson(task.domain(range(3), 20, seed=1))
    with pytest.raises(TaskError, match=message):
        make_version(task, load_definition("base"), lesson, tmp_path / "0", seed=0, device="cpu")
