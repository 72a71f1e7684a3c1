"""What a network needs to be trained, what of it stays as it is, and what is refused with the way round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from diffserver.methods.definition import load_definition
from diffserver.tasks import TaskError
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version
from diffserver.training.state_arrays import state_of
from diffserver.training.trainable import untrained
from tests.server.points import CLASSES, INPUTS, Counting, PointsTask


class Given(PointsTask):
    """Points for a network of one's own."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def network(self, seed: int) -> nn.Module:
        return self._network

    def scores(self, weights: dict[str, Array], labels: range) -> tuple[Tensor, Tensor]:
        """What the network says with these weights, in evaluation mode, and what it should."""
        vectors, wanted = self.batch(self.domain(labels, 300, seed=9), np.random.default_rng(0), "cpu")
        self._network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
        with torch.no_grad():
            return self._network.eval()(vectors), wanted


@dataclass(frozen=True)
class Version:
    """A version on disk."""

    snapshot: Snapshot
    digest: str


def made(name: str, network: nn.Module, out: Path, labels: range = range(5), parent: Version | None = None) -> Version:
    task, definition = Given(network), load_definition(name)
    assert definition.recipe
    short = replace(definition, recipe=replace(definition.recipe, steps=80, learning_rate=0.02))
    lesson = Lesson(task.domain(labels, 200, seed=1))
    version = make_version(task, short, lesson, out, seed=0, parent=parent, budget=0.3, device="cpu")
    return Version(Snapshot(version.weights), version.digest)


def normalised() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(INPUTS, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, CLASSES))


STATISTICS = ("1.num_batches_tracked", "1.running_mean", "1.running_var")


@pytest.mark.parametrize("name", ["sparse", "hashed", "full"])
def test_version_0_learns_running_statistics_and_later_ones_keep_them(name: str, tmp_path: Path) -> None:
    base = made("base", normalised(), tmp_path / "0")
    assert base.snapshot.read("1.num_batches_tracked") == 80
    assert [spec.name for spec in base.snapshot.table if spec.grid is None] == list(STATISTICS)
    network = normalised()
    version = made(name, network, tmp_path / "1", range(8), base)
    after = version.snapshot.read_all()
    assert all(np.array_equal(after[name], base.snapshot.read(name)) for name in STATISTICS)
    assert not np.array_equal(after["1.weight"], base.snapshot.read("1.weight"))
    scores, wanted = Given(network).scores(after, range(8))
    assert float((scores.argmax(1) != wanted).float().mean()) < 0.1
    assert network.train()[1].training, "the layer obeys again"


def tied() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, CLASSES))
    network[1].weight = network[0].weight
    return network


def test_a_tied_tensor_is_trained_and_travels_once(tmp_path: Path) -> None:
    base = made("base", tied(), tmp_path / "0")
    assert [spec.name for spec in base.snapshot.table if "weight" in spec.name] == ["0.weight", "2.weight"]
    version = made("sparse", tied(), tmp_path / "1", range(8), base)
    assert not np.array_equal(version.snapshot.read("0.weight"), base.snapshot.read("0.weight"))


class Halved(nn.Module):
    """A layer in bf16 before one in fp32."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.narrow, self.head = nn.Linear(INPUTS, 32, dtype=torch.bfloat16), nn.Linear(32, CLASSES)

    def forward(self, vectors: Tensor) -> Tensor:
        scores: Tensor = self.head(self.narrow(vectors.bfloat16()).float())
        return scores


def test_of_an_update_only_fp32_is_trained_and_a_note_names_the_rest(tmp_path: Path) -> None:
    state = state_of(Halved())
    table, entered = enter_grid(state.arrays, dtypes=state.dtypes)
    write_snapshot(tmp_path / "0", table, [entered[spec.name] for spec in table])
    base = Version(Snapshot(tmp_path / "0"), Snapshot(tmp_path / "0").digest())
    version = made("sparse", Halved(), tmp_path / "1", parent=base)
    after = version.snapshot.read_all()
    changed = {name for name, array in after.items() if not np.array_equal(array, entered[name])}
    assert changed == {"head.weight", "head.bias"}
    (note,) = untrained(Halved())
    assert note == "stay the parent's, for only fp32 is trained, and int8 with a scale: narrow.weight, narrow.bias"


class Int8(nn.Module):
    """An int8 matrix whose scale has a name of its own, before a layer in fp32."""

    def __init__(self, scale: str) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.ones(INPUTS, INPUTS, dtype=torch.int8))
        self.register_buffer(scale, torch.full((1,), 0.1))
        self.head = nn.Linear(INPUTS, CLASSES)


def test_int8_counts_as_trained_where_names_or_callers_tell_its_scale() -> None:
    assert list(untrained(Int8("matrix_scale"))) == list(untrained(Int8("step"), {"matrix"})) == []
    (note,) = untrained(Int8("step"))
    assert note.endswith("int8 with a scale: matrix")


def test_statistics_that_stay_are_named() -> None:
    (note,) = untrained(nn.Sequential(*(nn.BatchNorm1d(4) for _ in range(2))))
    assert note.startswith(
        "stay the parent's, for no trained diff carries running statistics: 0.running_mean, 0.running"
    )
    assert note.endswith("1.running_var and 1 more")
    assert list(untrained(nn.Linear(2, 2))) == []


def test_a_buffer_that_training_moves_is_no_diff(tmp_path: Path) -> None:
    base = made("base", Counting(), tmp_path / "0")
    assert base.snapshot.read("calls") == 80
    with pytest.raises(TaskError, match=r"training changed calls, which no trained diff carries.*--from-checkpoint"):
        made("sparse", Counting(), tmp_path / "1", parent=base)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(INPUTS, CLASSES).double(), "no float32, .*: weight, bias: keep them in fp32.*--from-checkpoint"),
        (Halved(), r"no float32, .*: narrow\.weight, narrow\.bias: keep them in fp32"),
        (Int8("step"), "no int8 with a scale: matrix: keep them"),
        (nn.ReLU(), "has no weights"),
    ],
)
def test_a_network_of_other_weights_is_not_trained_from_nothing(
    network: nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match=message):
        made("base", network, tmp_path / "0")
