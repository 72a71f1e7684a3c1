"""What every method owes: budgets in measured bytes, the same weights on the device, and something learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff, Hashed, Sparse
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode, payload_length
from diffclient.tensors.snapshot import Array, Snapshot, Table, enter_grid, fp32_bytes
from diffserver.methods.definition import load_definition
from diffserver.methods.method import Method, MethodError, Retrained, Weights
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.training.batches import Lesson
from diffserver.training.loop import train
from tests.server.points import PointsTask, as_version, parameters_of, retrained, weights_of

DIFFS = ("sparse", "hashed")
OLD, NEW = (0, 1, 2, 3, 4), (5, 6, 7)
RECIPE = Recipe(steps=150, learning_rate=0.02, batch=32)


@pytest.fixture(scope="module")
def parent(points: PointsTask, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A version that knows the old classes."""
    lesson = Lesson(points.domain(OLD, 400, seed=1))
    weights = retrained(points, points.initial(), lesson, RECIPE)
    return as_version(tmp_path_factory.mktemp("parent") / "0", weights)


def untrained(name: str, parent: Weights, table: Table, budget: float, seed: int) -> Method:
    """The method, untrained; none of these looks at the network."""
    return load_definition(name).make(Setting(parent, table, budget, seed, nn.Identity()))


def trained(points: PointsTask, parent: Snapshot, name: str, budget: float, seed: int = 3) -> Method:
    """The method, having learned the new classes with the old ones replayed."""
    method = untrained(name, parent.read_all(), parent.table, budget, seed)
    lesson = Lesson(points.domain(NEW, 300, seed=2), [points.domain(OLD, 400, seed=1)])
    train(points, points.network(0), method, lesson, RECIPE, device="cpu", seed=seed)
    return method


def shipped(method: Method, parent: Snapshot, out: Path) -> tuple[bytes, Snapshot]:
    """The payload, and the version that a device makes of it."""
    diff = method.result()
    assert isinstance(diff, Diff)
    data = encode(diff, parent.table, parent.digest())
    apply(parent, [open_payload(data, parent.table, parent.digest())], out)
    return data, Snapshot(out)


@pytest.mark.parametrize("name", DIFFS)
@pytest.mark.parametrize("budget", [0.04, 0.1, 0.15])
def test_payload_keeps_to_its_budget_and_uses_it(
    points: PointsTask, parent: Snapshot, tmp_path: Path, name: str, budget: float
) -> None:
    data, _ = shipped(trained(points, parent, name, budget), parent, tmp_path / "1")
    limit = budget * fp32_bytes(parent.table)
    assert (0.98 if name == "hashed" else 0.9) * limit < len(data) <= limit


@pytest.mark.parametrize("size", [0.3, 0.9, 3.0])
def test_hashed_fills_its_budget_wherever_values_went_after_the_last_steering(parent: Snapshot, size: float) -> None:
    """Values that shrink once the step is fixed would leave room, and values that grow would take too much."""
    method = untrained("hashed", parent.read_all(), parent.table, 0.1, seed=0)
    torch.manual_seed(0)
    for parameter in parameters_of(method):
        torch.nn.init.normal_(parameter)
    method.advance(0.86)
    with torch.no_grad():
        for parameter in parameters_of(method):
            parameter.mul_(size)
    diff = method.result()
    assert isinstance(diff, Diff)
    assert 0.98 < payload_length(diff, parent.table) / (0.1 * fp32_bytes(parent.table)) <= 1


@pytest.mark.parametrize("name", DIFFS)
def test_an_update_learns_the_new_and_keeps_the_old(
    points: PointsTask, parent: Snapshot, tmp_path: Path, name: str
) -> None:
    _, version = shipped(trained(points, parent, name, budget=0.1), parent, tmp_path / "1")
    new, old = points.domain(NEW, 300, seed=7), points.domain(OLD, 300, seed=8)
    before, after = parent.read_all(), version.read_all()
    assert points.errors(before, new).error_rate_ppm > 900_000
    assert points.errors(after, new).error_rate_ppm < 100_000
    assert points.errors(after, old).error_rate_ppm < points.errors(before, old).error_rate_ppm + 50_000


@pytest.mark.parametrize("name", DIFFS)
def test_the_device_arrives_at_the_weights_that_training_ended_with(
    points: PointsTask, parent: Snapshot, tmp_path: Path, name: str
) -> None:
    method = trained(points, parent, name, budget=0.1)
    _, version = shipped(method, parent, tmp_path / "1")  # first: it may drop a little to keep to the budget
    ended = weights_of(method)
    differing = sum(int((ended[name] != array).sum()) for name, array in version.read_all().items())
    assert differing <= (20 if name == "sparse" else 0)


def test_three_hashed_updates_in_a_row_hash_differently(points: PointsTask, parent: Snapshot, tmp_path: Path) -> None:
    classes = [*OLD]
    for number, new in enumerate(NEW, start=1):
        method = untrained("hashed", parent.read_all(), parent.table, 0.1, seed=number)
        lesson = Lesson(points.domain([new], 200, seed=number), [points.domain(classes, 400, seed=9)])
        train(points, points.network(0), method, lesson, RECIPE, device="cpu")
        data, version = shipped(method, parent, tmp_path / str(number))
        assert len(data) <= 0.1 * fp32_bytes(parent.table)
        classes.append(new)
        assert points.errors(version.read_all(), points.domain(classes, 400, seed=20)).error_rate_ppm < 120_000
        parent = version


def test_sparse_leaves_most_weights_as_they_are(points: PointsTask, parent: Snapshot, tmp_path: Path) -> None:
    diff = trained(points, parent, "sparse", budget=0.04).result()
    assert isinstance(diff, Diff)
    assert 0 < diff.carried < 0.3 * sum(spec.size for spec in parent.table)
    assert all(isinstance(stream, Sparse | None) for stream in diff.streams)


def test_hashed_shares_values_among_positions(points: PointsTask, parent: Snapshot) -> None:
    diff = trained(points, parent, "hashed", budget=0.025).result()
    assert isinstance(diff, Diff)
    assert all(isinstance(stream, Hashed) for stream in diff.streams)
    assert diff.carried < 0.7 * sum(spec.size for spec in parent.table)


@pytest.mark.parametrize("name", DIFFS)
def test_an_untrained_diff_changes_nothing(parent: Snapshot, tmp_path: Path, name: str) -> None:
    method = untrained(name, parent.read_all(), parent.table, 0.1, seed=0)
    for weight_name, weight in weights_of(method).items():
        assert np.array_equal(weight, parent.read(weight_name))
    _, version = shipped(method, parent, tmp_path / "1")
    assert all(np.array_equal(version.read(spec.name), parent.read(spec.name)) for spec in parent.table)


@pytest.mark.parametrize("name", DIFFS)
def test_tensors_off_the_grid_stay_the_parents(name: str) -> None:
    weights: dict[str, Array] = {"a": np.ones((50, 40), np.float32), "steps": np.arange(4, dtype=np.int64)}
    table, arrays = enter_grid(weights)
    method = untrained(name, arrays, table, 0.2, seed=0)
    for parameter in parameters_of(method):
        torch.nn.init.normal_(parameter)
    diff = method.result()
    assert isinstance(diff, Diff)
    assert [stream is None for stream in diff.streams] == [False, True]
    assert weights_of(method)["steps"].tolist() == [0, 1, 2, 3]


def test_full_retrains_every_weight_and_has_no_diff(points: PointsTask, parent: Snapshot) -> None:
    method = trained(points, parent, "full", budget=0.02)
    assert isinstance(method.result(), Retrained)
    for name, weight in weights_of(method).items():
        assert not np.array_equal(weight, parent.read(name))


@pytest.mark.parametrize(
    ("name", "budget"),
    [("sparse", 0.0), ("hashed", -1.0), ("sparse", 1.1), ("full", float("nan")), ("dense", 0.02)],
)
def test_what_cannot_be_made_is_refused(parent: Snapshot, name: str, budget: float) -> None:
    with pytest.raises(MethodError):
        untrained(name, parent.read_all(), parent.table, budget, seed=0)


@pytest.mark.parametrize("name", DIFFS)
def test_a_budget_below_an_empty_payload_is_refused(parent: Snapshot, name: str) -> None:
    method = untrained(name, parent.read_all(), parent.table, 0.002, seed=0)
    for parameter in parameters_of(method):
        torch.nn.init.normal_(parameter)
    with pytest.raises(MethodError, match="raise it"):
        method.result()
