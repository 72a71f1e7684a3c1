"""Graphs of any network: computed as torch does, with weights that come from outside, sides that vary, no dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the graph is exported by torch: pip install 'diffserver[train]'")

import onnx  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from diffclient.measure.onnx_session import Session  # noqa: E402
from diffserver.diffs import to_int8  # noqa: E402
from diffserver.tasks import TaskError  # noqa: E402
from diffserver.tasks.graph import Input, export  # noqa: E402
from tests.server.points import as_version  # noqa: E402


class Attentive(nn.Module):
    """Attention over symbols, of which a second input says which count."""

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Embedding(20, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
        self.register_buffer("scale", torch.tensor(0.5), persistent=False)

    def forward(self, symbols: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        output = self.layer(self.symbols(symbols)) * self.scale * counts[:, :, None]
        return output, counts.sum(1)


READINGS = (Input("readings", ("batch", "time", 3)),)
SYMBOLS = (Input("symbols", ("batch", "length"), "int64"), Input("counts", ("batch", "length")))


def drawn(inputs: tuple[Input, ...], sizes: dict[str, int], rng: np.random.Generator) -> dict[str, Any]:
    """Arrays that can go in."""
    shapes = {given.name: [sizes[s] if isinstance(s, str) else s for s in given.sides] for given in inputs}
    return {given.name: rng.integers(0, 9, shapes[given.name]).astype(given.dtype) for given in inputs}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        (Attentive, SYMBOLS),
        (lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.9), nn.ReLU(), nn.Linear(8, 2)), READINGS),
    ],
    ids=["attention", "dropout"],
)
def test_onnxruntime_computes_what_torch_does_for_any_weights(
    tmp_path: Path, kind: type[nn.Module], inputs: tuple[Input, ...]
) -> None:
    torch.manual_seed(0)
    graph = export(kind(), inputs)
    network = kind().eval()
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    session = Session(graph, as_version(tmp_path / "w", weights))
    for sizes in ({"batch": 1, "time": 9, "length": 4}, {"batch": 7, "time": 33, "length": 2}):
        given = drawn(inputs, sizes, np.random.default_rng(0))
        expected = network(*map(torch.from_numpy, given.values()))
        for actual, output in zip(
            session.run(given), expected if isinstance(expected, tuple) else [expected], strict=True
        ):
            assert np.allclose(actual, output.detach().numpy(), atol=1e-4)


def test_the_graph_holds_no_weight_and_nothing_of_this_machine() -> None:
    network = nn.Linear(3, 2)
    graph = export(network, READINGS, {"about": "readings"}, ["scores"])
    model = onnx.load_model_from_string(graph)
    assert {tensor.name for tensor in model.graph.initializer if tensor.data_location} == set(network.state_dict())
    assert [output.name for output in model.graph.output] == ["scores"]
    assert {prop.key: prop.value for prop in model.metadata_props} == {"about": "readings"}
    assert str(Path(__file__).parents[3]).encode() not in graph


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_graph_takes_int8_matrices_as_int8(tmp_path: Path, per_channel: bool) -> None:
    torch.manual_seed(0)
    network = to_int8(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), per_channel=per_channel)
    graph = export(network, READINGS)
    outside = {tensor.name: tensor.data_type for tensor in onnx.load_model_from_string(graph).graph.initializer}
    matrices = {name for name, data_type in outside.items() if data_type == onnx.TensorProto.INT8}
    assert matrices == {"0.weight", "2.weight"}
    assert outside.keys() >= set(network.state_dict())
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    given = drawn(READINGS, {"batch": 2, "time": 5}, np.random.default_rng(0))
    (actual,) = Session(graph, as_version(tmp_path / "w", weights)).run(given)
    assert np.allclose(actual, network(torch.from_numpy(given["readings"])).detach().numpy(), atol=1e-5)


def test_a_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Dropout(0.5).eval())
    export(network, READINGS)
    assert [module.training for module in network.modules()] == [True, True, True, False]


def test_a_network_that_cannot_be_exported_is_told_with_its_cause() -> None:
    class Choosy(nn.Linear):
        def forward(self, point: Tensor) -> Tensor:
            return super().forward(point) if point.sum().item() > 0 else point

    with pytest.raises(TaskError, match=r"does not become a graph for devices: .*data-dependent"):
        export(Choosy(3, 3), READINGS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 5, 3)), r"readings is float64 \[1, 5, 3\], not float32 \['batch', 'time', 3\]"),
        (np.zeros((1, 5, 2), np.float32), r"float32 \[1, 5, 2\]"),
        (np.zeros((1, 5), np.float32), r"float32 \[1, 5\]"),
        (np.full((1, 5, 3), np.inf, np.float32), "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_told(array: Any, message: str) -> None:
    READINGS[0].require(np.zeros((2, 9, 3), np.float32))
    with pytest.raises(ValueError, match=message):
        READINGS[0].require(array)
