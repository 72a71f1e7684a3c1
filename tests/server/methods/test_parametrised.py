"""Parts in a network: what they make there, what stays, and what is left when they are taken out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import enter_grid
from diffserver.methods.definition import load_definition
from diffserver.methods.parametrised import LoopError, Parametrised, tensors
from diffserver.methods.setting import Setting


class Tied(nn.Module):
    """An embedding that is the output layer's matrix, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6)
        self.head = nn.Linear(6, 12)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Any:
        return self.head(self.embedding(tokens))


class Recurrent(nn.Module):
    """A recurrent layer, which keeps its weights in a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, frames: Tensor) -> Any:
        return self.head(self.lstm(frames)[0])


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "plain": (plain, torch.linspace(-1, 1, 12).view(2, 6)),
    "tied": (Tied, torch.arange(12).view(2, 6)),
    "recurrent": (Recurrent, torch.linspace(-1, 1, 24).view(1, 4, 6)),
    "attention": (lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True), torch.ones(1, 4, 6)),
}


def parametrised(network: nn.Module, name: str = "sparse", steps: int = 4) -> Parametrised:
    table, parent = enter_grid({name: tensor.detach().numpy() for name, tensor in tensors(network).items()})
    return Parametrised(network, load_definition(name).make(Setting(parent, table, 0.5, 0, network)), steps)


@pytest.mark.parametrize("name", ["sparse", "hashed"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_is_reached_wherever_a_module_keeps_it(kind: str, name: str) -> None:
    make, inputs = NETWORKS[kind]
    diff = parametrised(make(), name)
    before = diff.network(inputs).detach()
    optimiser = torch.optim.SGD(diff.parameters(), 0.1)
    diff.network(inputs).square().sum().backward()
    assert all(parameter.grad is not None for parameter in diff.parameters())
    optimiser.step()
    assert not torch.allclose(diff.network(inputs), before)
    diff.remove()
    assert torch.equal(diff.network(inputs), before), "the parent's weights are back"


def test_a_tied_tensor_is_one_tensor_and_learns_from_both_places() -> None:
    network = Tied()
    diff = parametrised(network)
    assert len(list(diff.parameters())) == len(diff.method.parts) == 2
    with torch.no_grad():
        for part in diff.method.parts.values():
            part.values.fill_(1.0)  # type: ignore[operator]
    assert torch.equal(network.embedding.weight, network.head.weight)
    diff.remove()
    assert network.head.weight is network.embedding.weight


def test_what_is_no_part_is_frozen_until_the_parts_are_gone() -> None:
    network = plain()
    frozen = next(network.parameters()).requires_grad_(False)
    diff = parametrised(network)
    trainable = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    assert trainable == {id(parameter) for parameter in diff.parameters()}
    diff.remove()
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, True, True, True]
    assert next(network.parameters()) is frozen


def test_steps_end_with_the_schedule() -> None:
    diff = parametrised(plain(), steps=3)
    for _ in range(3):
        diff.step()
    with pytest.raises(LoopError, match="are done: call step"):
        diff.step()
    with pytest.raises(LoopError, match="0 steps train nothing"):
        parametrised(plain(), steps=0)


def test_the_network_moves_with_its_parts() -> None:
    diff = parametrised(plain())
    before = list(diff.parameters())
    diff.network.to("cpu", torch.float32)
    assert all(one is other for one, other in zip(diff.parameters(), before, strict=True))
    assert np.array_equal([p.is_leaf for p in diff.parameters()], [True] * len(before))
