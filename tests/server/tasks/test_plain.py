"""A plain task: what is said of it is enough, and what does not fit is told with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tasks need torch: pip install 'diffserver[train]'")

from torch import Tensor, nn  # noqa: E402

from diffclient.measure.error_count import Errors  # noqa: E402
from diffclient.measure.scorer import Fields, Opener, Scorer  # noqa: E402
from diffclient.tensors.snapshot import Snapshot, enter_grid, write_snapshot  # noqa: E402
from diffserver.tasks import DataError, Forward, Task  # noqa: E402
from diffserver.tasks.graph import Input  # noqa: E402
from diffserver.tasks.plain import Batch, PlainTask  # noqa: E402
from diffserver.training.state_arrays import state_of  # noqa: E402
from tests.server.points import as_version  # noqa: E402

SIDES = 4


def inputs(examples: Sequence[Any]) -> dict[str, Any]:
    return {"point": np.array([example["point"] for example in examples], np.float32)}


def errors(outputs: Sequence[Any], examples: Sequence[Any]) -> Errors:
    return Errors(int(np.sum((outputs[0][:, 0] > 0) != [e["above"] for e in examples])), len(examples))


def read(fields: Fields, open_: Opener) -> dict[str, Any]:
    """A point may be in a file of its own."""
    return {**fields, "point": json.loads(open_(fields["file"]))} if "file" in fields else dict(fields)


class Above(PlainTask):
    """Is a point above a plane?"""

    name = "above"
    takes: Sequence[Input] = (Input("point", ("batch", SIDES)),)
    scorer = Scorer(inputs, errors, read)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(SIDES, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))

    def targets(self, examples: Sequence[Any]) -> list[float]:
        return [float(example["above"]) for example in examples]

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        said = forward(*batch.inputs)[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(said, batch.targets)

    def augment(self, example: Any, rng: np.random.Generator) -> Any:
        return {**example, "point": np.array(example["point"]) + rng.normal(0, 0.01, SIDES)}


@pytest.fixture
def task() -> Task:
    return Above()


def lines(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {"point": point.round(3).tolist(), "above": bool(point.sum() > 0)} for point in rng.normal(0, 1, (count, 4))
    ]


def write(folder: Path, entries: Sequence[Any], split: str = "test") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return folder


def test_networks_follow_from_the_seed_alone(task: Task) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (task.network(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_batches_are_augmented_with_the_generator(task: Task, tmp_path: Path) -> None:
    examples = task.examples(write(tmp_path / "d", lines(6)), "test")
    first, again, other = (task.batch(examples, np.random.default_rng(seed), "cpu") for seed in (1, 1, 2))
    assert torch.equal(first.inputs[0], again.inputs[0])
    assert not torch.equal(first.inputs[0], other.inputs[0])
    assert first.inputs[0].dtype == torch.float32
    assert first.targets.tolist() == [float(example["above"]) for example in examples]
    assert task.loss(task.network(0), first).ndim == 0


def test_server_and_device_measure_the_same_with_the_same_code(task: Task, tmp_path: Path) -> None:
    folder, network = write(tmp_path / "d", lines(100)), task.network(0)
    weights = as_version(tmp_path / "w", {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    graph = task.graph(network)
    (tmp_path / "graph").write_bytes(graph)
    (tmp_path / "part").write_bytes(task.probe(folder, "test", range(100)))
    examples = task.examples(folder, "test")
    with torch.no_grad():
        said = network.eval()(task.batch(examples, np.random.default_rng(0), "cpu").inputs[0])
    measured = task.measure(task.session(graph, weights), examples)
    assert measured.total == 100
    assert 0 < measured.errors < 100
    assert abs(measured.errors - errors([said.numpy()], examples).errors) <= 3, "but for what augmenting moves"
    assert task.score(tmp_path / "graph", weights, [tmp_path / "part"]) == [measured]
    assert (
        sum((task.measure(task.session(graph, weights), [example]) for example in examples), Errors(0, 0)) == measured
    )


def test_a_part_of_a_probe_set_has_the_lines_asked_for_and_the_files_that_they_name(task: Task, tmp_path: Path) -> None:
    entries = lines(30)
    folder = write(tmp_path / "d", [{"file": f"{n}.json", "above": entry["above"]} for n, entry in enumerate(entries)])
    for number, entry in enumerate(entries):
        (folder / f"{number}.json").write_text(json.dumps(entry["point"]))
    assert task.probe(folder, "test", [7, 3]) == task.probe(folder, "test", [7, 3])
    (tmp_path / "part").write_bytes(task.probe(folder, "test", [7, 3]))
    examples = Above.scorer.examples(tmp_path / "part")
    assert [example["point"] for example in examples] == [entries[number]["point"] for number in (7, 3)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"above": True}, "KeyError: 'point'"),
        ({"point": [1, 2, 3], "above": True}, r"point is float32 \[1, 3\], not float32 \['batch', 4\]"),
        ({"point": [1, 2, 3, "x"], "above": True}, "could not convert string"),
        ({"point": [1, 2, 3, "inf"], "above": True}, "point holds numbers that are not finite"),
        ({"point": [1, 2, 3, 4]}, "KeyError: 'above'"),
        ({"file": "gone.json", "above": True}, "FileNotFoundError"),
        ({"file": "probe.jsonl", "above": True}, "call the file something else"),
        ([1, 2], "not a JSON object"),
    ],
)
def test_an_example_that_does_not_fit_is_named(task: Task, tmp_path: Path, entry: Any, message: str) -> None:
    folder = write(tmp_path / "d", [*lines(2), entry])
    with pytest.raises(DataError, match=rf"d/test\.jsonl:3: .*{message}"):
        task.examples(folder, "test")
    with pytest.raises(DataError, match=message):
        task.probe(folder, "test", range(3))


def test_inputs_of_another_name_or_type_are_told(tmp_path: Path) -> None:
    class Wrong(Above):
        scorer = Scorer(lambda examples: {"other": np.zeros((len(examples), SIDES))}, errors)

    folder = write(tmp_path / "d", lines(1))
    with pytest.raises(DataError, match="the scorer gives other, and the network takes point"):
        Wrong().examples(folder, "test")
    Wrong.takes = (Input("other", ("batch", SIDES)),)
    with pytest.raises(DataError, match="other is float64"):
        Wrong().examples(folder, "test")


class Mixed(nn.Module):
    """Weights in bf16, a mask with infinities, truth values."""

    mask: Tensor
    on: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, SIDES, dtype=torch.bfloat16))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf] * 4))
        self.register_buffer("on", torch.tensor([True, True, False, False] * 2))

    def forward(self, point: Tensor) -> Tensor:
        scores = (point @ self.weight.float().T + self.mask).softmax(1)
        return torch.where(self.on, scores, 0.0)  # type: ignore[no-any-return]


def test_a_network_of_other_dtypes_runs_on_devices_to_the_same_outputs(tmp_path: Path) -> None:
    class Given(Above):
        def build(self) -> nn.Module:
            return Mixed()

    task = Given()
    network = task.network(0)
    state = state_of(network)
    table, arrays = enter_grid(state.arrays, dtypes=state.dtypes, constants=state.constants)
    assert [(spec.name, spec.dtype, spec.grid) for spec in table] == [
        ("mask", "F32", None), ("on", "BOOL", None), ("weight", "BF16", None),
    ]  # fmt: skip
    write_snapshot(tmp_path / "0", table, [arrays[spec.name] for spec in table])
    session = task.session(task.graph(network), Snapshot(tmp_path / "0"))
    point = np.random.default_rng(0).normal(size=(5, SIDES)).astype(np.float32)
    (outputs,) = session.run({"point": point})
    assert np.allclose(outputs, network(torch.from_numpy(point)).numpy(force=True), atol=1e-6)
