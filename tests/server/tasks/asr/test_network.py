"""The network: padding makes no difference, and the exported graph computes the same with weights from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diffclient.measure.log_mel import MELS
from diffclient.measure.onnx_session import Session
from diffserver.tasks.asr.network import Network
from diffserver.tasks.asr.task import AsrTask
from tests.server.points import as_version

SYMBOLS = 29


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return AsrTask(channels=24).network(seed=1).eval()


@pytest.fixture(scope="module")
def graph(network: nn.Module) -> bytes:
    return AsrTask(channels=24).graph(network)


def batch(lengths: list[int], padding: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random features; what lies beyond a length is not zero but large."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(lengths), max(lengths) + padding, MELS, generator=generator)
    for row, length in zip(features, lengths, strict=True):
        row[length:] = 1e3
    return features, torch.tensor(lengths)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(0, 50))
def test_scores_do_not_depend_on_padding(network: nn.Module, lengths: list[int], padding: int) -> None:
    features, counts = batch(lengths, padding)
    with torch.no_grad():
        scores, frames = network(features, counts)
        for number, length in enumerate(lengths):
            alone, [count] = network(features[number : number + 1, :length], counts[number : number + 1])
            assert count == frames[number] == -(-length // 4)
            assert torch.allclose(scores[number, :count], alone[0], atol=1e-4)


def test_an_output_frame_lasts_forty_milliseconds_at_most(network: nn.Module) -> None:
    _, frames = network(*batch([100]))
    assert 1.0 / int(frames[0]) <= 0.040


def test_the_default_has_about_a_million_weights() -> None:
    assert 0.8e6 < sum(parameter.numel() for parameter in Network(SYMBOLS).parameters()) < 1.3e6


def test_the_seed_decides_the_weights_and_nothing_else_does() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (AsrTask(channels=8).network(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_onnxruntime_computes_what_torch_does_for_any_weights(
    network: nn.Module, graph: bytes, tmp_path: Path, noise: float
) -> None:
    # Had the export folded anything that depends on weights into a constant, altered weights would show it.
    altered = AsrTask(channels=24).network(seed=1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in altered.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=generator))
    weights = {name: tensor.numpy() for name, tensor in altered.state_dict().items()}
    features, lengths = batch([90, 57, 1])
    expected, frames = altered(features, lengths)
    session = Session(graph, as_version(tmp_path / "w", weights))
    scores, counts = session.run({"features": features.numpy(), "lengths": lengths.numpy()})
    assert counts.tolist() == frames.tolist()
    for row, other, count in zip(scores, expected.detach().numpy(), counts, strict=True):
        assert np.allclose(row[:count], other[:count], atol=1e-3)


def test_the_graph_names_every_weight_and_holds_none(network: nn.Module, graph: bytes) -> None:
    model = onnx.load_model_from_string(graph)
    outside = {tensor.name for tensor in model.graph.initializer if not tensor.raw_data}
    assert outside == set(network.state_dict())
    assert len(graph) < 50_000
    assert str(Path(__file__).parents[4]).encode() not in graph
