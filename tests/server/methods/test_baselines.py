"""The baselines: each keeps to its budget, ends as a device would, and learns something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors import arithmetic
from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, fp32_bytes
from diffserver.methods.definition import load_definition
from diffserver.methods.factors import Factors, pack, unpack
from diffserver.methods.lora import choose_ranks
from diffserver.methods.method import Method, MethodError, Packed, Result, Weights
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.training.batches import Lesson
from diffserver.training.loop import train
from tests.server.points import PointsTask, as_version, retrained, weights_of

OLD, NEW = (0, 1, 2, 3, 4), (5, 6, 7)
RECIPE = Recipe(steps=150, learning_rate=0.02, batch=32)
TUNED = Recipe(steps=60, learning_rate=0.02, batch=32)
BASELINES = {
    name: replace(load_definition(name), recipe=recipe)
    for name, recipe in {
        "topk": None,
        "topk-tuned": TUNED,
        "bitdelta": TUNED,
        "lora": RECIPE,
        "pruned": None,
        "pruned-tuned": TUNED,
        "factorised": None,
    }.items()
}
COMPRESSORS = ("topk", "bitdelta", "factorised")
MODELS = ("pruned", "pruned-tuned", "factorised")
"""What travels is a whole model."""


@pytest.fixture(scope="module")
def parent(points: PointsTask, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A version that knows the old classes."""
    lesson = Lesson(points.domain(OLD, 400, seed=1))
    weights = retrained(points, points.initial(), lesson, RECIPE)
    return as_version(tmp_path_factory.mktemp("parent") / "0", weights)


@pytest.fixture(scope="module")
def lesson(points: PointsTask) -> Lesson:
    return Lesson(points.domain(NEW, 300, seed=2), [points.domain(OLD, 400, seed=1)])


@pytest.fixture(scope="module")
def full(points: PointsTask, parent: Snapshot, lesson: Lesson) -> dict[str, Array]:
    """The fully retrained model, on the parent's grids."""
    weights = retrained(points, parent.read_all(), lesson, RECIPE)
    return {
        spec.name: arithmetic.from_grid(arithmetic.round_to_grid(weights[spec.name], spec.grid or 0), spec.grid or 0)
        for spec in parent.table
    }


def setting(points: PointsTask, parent: Snapshot, full: dict[str, Array] | None, budget: float) -> Setting:
    return Setting(parent.read_all(), parent.table, budget, 3, points.network(0), full)


def baseline(name: str, points: PointsTask, setting: Setting, lesson: Lesson) -> Method:
    """The baseline, trained if it is one that trains."""
    definition = BASELINES[name]
    method = definition.make(setting)
    if definition.recipe:
        train(points, points.network(0), method, lesson, definition.recipe, device="cpu", seed=3)
    return method


def shipped(method: Method, parent: Snapshot, out: Path) -> tuple[bytes, Weights]:
    """The payload, and the weights that a device makes of it."""
    result = method.result()
    if isinstance(result, Packed):
        return result.payload, result.weights
    assert isinstance(result, Diff)
    data = encode(result, parent.table, parent.digest())
    apply(parent, [open_payload(data, parent.table, parent.digest())], out)
    return data, Snapshot(out).read_all()


@pytest.mark.parametrize("budget", [0.1])
@pytest.mark.parametrize("name", BASELINES)
def test_keeps_its_budget_and_ends_as_training_did(
    name: str,
    budget: float,
    points: PointsTask,
    parent: Snapshot,
    full: dict[str, Array],
    lesson: Lesson,
    tmp_path: Path,
) -> None:
    method = baseline(name, points, setting(points, parent, full, budget), lesson)
    data, weights = shipped(method, parent, tmp_path / "1")
    assert len(data) <= budget * fp32_bytes(parent.table)
    ended = weights_of(method) if method.parts else weights
    for spec in parent.table:
        trained, device = ended[spec.name], weights[spec.name]
        # A few values were dropped to keep to the budget; factors were rounded to fp16.
        assert np.mean(np.abs(trained - device) > 2e-3 * np.abs(trained).max()) <= 0.15


@pytest.mark.parametrize(("name", "most"), [(name, 0.5 if name in MODELS else 0.2) for name in BASELINES])
def test_learns_something_at_a_generous_budget(
    name: str, most: float, points: PointsTask, parent: Snapshot, full: dict[str, Array], lesson: Lesson, tmp_path: Path
) -> None:
    method = baseline(name, points, setting(points, parent, full, 0.4 if name in MODELS else 0.2), lesson)
    _, weights = shipped(method, parent, tmp_path / "1")
    new = points.domain(NEW, 300, seed=7)
    assert points.errors(parent.read_all(), new).error_rate_ppm > 900_000
    assert points.errors(weights, new).error_rate_ppm < 1e6 * most


@pytest.mark.parametrize("name", ["topk", "pruned"])
def test_tuning_what_is_kept_helps(
    name: str, points: PointsTask, parent: Snapshot, full: dict[str, Array], lesson: Lesson, tmp_path: Path
) -> None:
    everything = [*points.domain(OLD, 300, seed=8), *points.domain(NEW, 300, seed=7)]
    errors = []
    for kind in (name, f"{name}-tuned"):
        method = baseline(kind, points, setting(points, parent, full, 0.03), lesson)
        _, weights = shipped(method, parent, tmp_path / kind)
        errors.append(points.errors(weights, everything).errors)
    assert errors[1] < errors[0]


def test_bitdelta_changes_every_weight_at_its_natural_size_by_one_scale_a_tensor(
    points: PointsTask, parent: Snapshot, full: dict[str, Array], tmp_path: Path
) -> None:
    data, weights = shipped(BASELINES["bitdelta"].make(setting(points, parent, full, 0.2)), parent, tmp_path / "1")
    assert len(data) < 0.08 * fp32_bytes(parent.table)  # one bit of 32, and what a table this small costs
    for name, after in weights.items():
        changed, target = after - parent.read(name), full[name] - parent.read(name)
        assert np.abs(changed).min() == pytest.approx(np.abs(target).mean(), rel=1e-2)
        assert np.abs(changed).max() == pytest.approx(np.abs(changed).min(), rel=1e-3)
        assert np.array_equal(changed > 0, target > 0)


def test_bitdelta_in_a_small_budget_changes_whole_rows(
    points: PointsTask, parent: Snapshot, full: dict[str, Array], tmp_path: Path
) -> None:
    _, weights = shipped(BASELINES["bitdelta"].make(setting(points, parent, full, 0.03)), parent, tmp_path / "1")
    changed = weights["0.weight"] != parent.read("0.weight")
    assert 0 < changed.all(axis=1).sum() < len(changed)
    assert np.array_equal(changed.all(axis=1), changed.any(axis=1))


def test_pruned_keeps_nothing_of_the_parent(
    points: PointsTask, parent: Snapshot, full: dict[str, Array], tmp_path: Path
) -> None:
    _, weights = shipped(BASELINES["pruned"].make(setting(points, parent, full, 0.06)), parent, tmp_path / "1")
    for name, after in weights.items():
        nonzero = after != 0
        assert np.count_nonzero(nonzero) < 0.6 * after.size or after.ndim == 1
        assert np.allclose(after[nonzero], full[name][nonzero], atol=np.abs(full[name]).max() / 2)


def test_lora_changes_its_layers_by_low_rank_and_nothing_else(
    points: PointsTask, parent: Snapshot, lesson: Lesson, tmp_path: Path
) -> None:
    method = baseline("lora", points, setting(points, parent, None, 0.06), lesson)
    _, weights = shipped(method, parent, tmp_path / "1")
    for name, after in weights.items():
        changed = after - parent.read(name)
        assert changed.any() == (changed.ndim > 1)
        if changed.ndim > 1:
            assert np.linalg.matrix_rank(changed, tol=1e-4) < 8


@pytest.mark.parametrize("name", BASELINES)
def test_a_budget_below_anything_is_refused(
    name: str, points: PointsTask, parent: Snapshot, full: dict[str, Array], lesson: Lesson
) -> None:
    def result() -> Result:
        return baseline(name, points, setting(points, parent, full, 0.002), lesson).result()

    with pytest.raises(MethodError):
        result()


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressors_need_the_retrained_model(name: str, points: PointsTask, parent: Snapshot) -> None:
    with pytest.raises(MethodError, match="train that first"):
        BASELINES[name].make(setting(points, parent, None, 0.06))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_tensors_off_the_grid_stay_the_parents(name: str, points: PointsTask) -> None:
    rng = np.random.default_rng(0)
    table, before = enter_grid({"a": rng.normal(size=(50, 40)).astype(np.float32), "steps": np.arange(4)})
    grid = next(spec.grid for spec in table if spec.grid is not None)
    units = arithmetic.round_to_grid(before["a"] + rng.normal(0, 0.1, (50, 40)).astype(np.float32), grid)
    after = {"a": arithmetic.from_grid(units, grid), "steps": before["steps"]}
    method = BASELINES[name].make(Setting(before, table, 0.2, 0, points.network(0), after))
    assert weights_of(method)["steps"].tolist() == [0, 1, 2, 3]
    result = method.result()
    if isinstance(result, Packed):
        assert result.weights["steps"].tolist() == [0, 1, 2, 3]
    else:
        assert isinstance(result, Diff)
        assert result.streams[1] is None


@settings(deadline=None, max_examples=30)
@given(st.integers(1000, 20_000), st.lists(st.tuples(st.integers(1, 300), st.integers(1, 900)), min_size=1, max_size=5))
def test_ranks_use_the_budget_evenly(limit: int, shapes: list[tuple[int, int]]) -> None:
    by_name = {str(number): shape for number, shape in enumerate(shapes)}
    try:
        ranks = choose_ranks(by_name, limit)
    except MethodError:
        assert min(map(sum, shapes)) * 2.1 > 0.9 * limit
        return
    assert all(0 < rank <= min(by_name[name]) for name, rank in ranks.items())
    assert sum(rank * sum(by_name[name]) for name, rank in ranks.items()) * 1.5 <= limit


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_factors_travel_as_fp16(rows: int, rank: int, smooth: bool) -> None:
    rng = np.random.default_rng(rank)
    shapes = ((rows, rank), (rank, 7), (3, 2))
    left, right, dense = (rng.normal(size=shape).astype(np.float32) * (not smooth) for shape in shapes)
    data = pack({"w": Factors(left, right)}, [dense])
    factors, (vector,) = unpack(data, {"w": (rows, 7)}, [(3, 2)])
    for original, arrived in ((left, factors["w"].left), (right, factors["w"].right), (dense, vector)):
        assert np.array_equal(original.astype(np.float16).astype(np.float32), arrived)


def test_long_factors_take_less_than_two_bytes_a_number() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (1, 40_000)).astype(np.float32)
    assert len(pack({"w": Factors(np.ones((1, 1), np.float32), noise)})) < 0.93 * 2 * noise.size
