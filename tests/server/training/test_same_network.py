"""A task's network against the published one: what differs is named, and other words for the same graph are not."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import pytest
import torch
from torch import nn

from diffclient.tensors.snapshot import Snapshot, enter_grid, write_snapshot
from diffserver.tasks import TaskError
from diffserver.tasks.graph import Input, export
from diffserver.training.same_network import require_same_network
from diffserver.training.state_arrays import state_of
from tests.server.points import CLASSES, INPUTS, PointsTask

TAKES = (Input("vector", ("batch", INPUTS)),)


class Exported(PointsTask):
    """Points with a graph."""

    def graph(self, network: nn.Module) -> bytes:
        return export(network, TAKES)


def of(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def points_network(activation: nn.Module | None = None, hidden: int = 32, classes: int = CLASSES) -> nn.Module:
    return of(nn.Linear(INPUTS, hidden), activation or nn.ReLU(), nn.Linear(hidden, classes))


@dataclass(frozen=True)
class Published:
    snapshot: Snapshot
    graph: bytes


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    torch.manual_seed(0)
    network = points_network()
    table, entered = enter_grid(state_of(network).arrays)
    path = tmp_path_factory.mktemp("published") / "0"
    write_snapshot(path, table, [entered[spec.name] for spec in table])
    return Published(Snapshot(path), Exported().graph(network))


def compare(network: nn.Module, published: Published, graph: bytes | None = None) -> None:
    require_same_network(Exported(), network, published.snapshot, graph or published.graph)


def test_the_same_network_goes_through(published: Published) -> None:
    compare(points_network(), published)


def test_other_words_for_the_same_graph_go_through(published: Published) -> None:
    """As another release of the exporter writes them."""
    model = onnx.load_from_string(published.graph)
    last = model.graph.node[-1]
    scores = last.output[0]
    last.output[0] = "inner"
    model.graph.node.append(onnx.helper.make_node("Identity", ["inner"], [scores]))
    compare(points_network(), published, model.SerializeToString())


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            points_network(hidden=48),
            r"points is not the published one: 0\.bias \(float32 \[48\], in the version F32 \[32\]\); 0\.weight",
        ),
        (points_network(classes=9), r"2\.bias \(float32 \[9\], in the version F32 \[8\]\)"),
        (points_network().double(), r"0\.bias \(float64 \[32\], in the version F32 \[32\]\)"),
        (
            of(nn.Linear(INPUTS, 32), nn.ReLU(), nn.Linear(32, CLASSES), nn.Linear(CLASSES, CLASSES)),
            r"3\.bias \(float32 \[8\], in the version missing\)",
        ),
        (of(nn.Linear(INPUTS, 32)), r"2\.bias \(missing, in the version F32 \[8\]\)"),
        (points_network(nn.Tanh()), "its graph has 1 Tanh, the published one 1 Relu in place of that"),
        (of(nn.Linear(INPUTS, 32), nn.Dropout(), nn.Linear(32, CLASSES)), "graph has none, the published one 1 Relu"),
    ],
    ids=["shapes", "classes", "dtype", "a layer more", "a layer less", "an activation", "no activation"],
)
def test_another_network_is_refused_with_the_difference_and_the_way_out(
    network: nn.Module, said: str, published: Published
) -> None:
    with pytest.raises(TaskError, match=f"{said}.*make a model of another name"):
        compare(network, published)


def test_the_same_operators_may_compute_something_else(published: Published) -> None:
    leaky = Exported().graph(points_network(nn.LeakyReLU(0.1)))
    with pytest.raises(TaskError, match="the same operators as the published one, and gives other outputs"):
        compare(points_network(nn.LeakyReLU(0.3)), published, leaky)
