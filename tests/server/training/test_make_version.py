"""Versions in the making: what is written is what a device computes, whatever a method ends with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.diffs import to_int8
from diffserver.methods.definition import load_definition
from diffserver.methods.method import MethodError
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version
from diffserver.training.new_version import NewVersion
from diffserver.training.progress import Cancelled
from tests.factories import outgrowing_diff
from tests.server.points import PointsTask

BUDGET = 0.15


@dataclass(frozen=True)
class Version:
    """A version on disk."""

    snapshot: Snapshot
    digest: str


class Int8Task(PointsTask):
    """The same points, for a network of int8 matrices."""

    def network(self, seed: int) -> nn.Module:
        return to_int8(super().network(seed), headroom=4.0)


def make(name: str, out: Path, labels: range, task: PointsTask | None = None, **options: Any) -> NewVersion:
    task, definition = task or PointsTask(), load_definition(name)
    short = replace(definition, recipe=definition.recipe and replace(definition.recipe, steps=60, learning_rate=0.02))
    lesson = Lesson(task.domain(labels, 200, seed=1))
    return make_version(task, short, lesson, out, seed=3, device="cpu", **options)


def version_of(new: NewVersion) -> Version:
    return Version(Snapshot(new.weights), new.digest)


def applied(parent: Version, diff: Diff, out: Path) -> Version:
    digest = apply(parent.snapshot, [diff], out)
    return Version(Snapshot(out), digest)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of(make("base", tmp_path_factory.mktemp("base") / "0", range(5)))


@pytest.fixture(scope="module")
def full(base: Version, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of(make("full", tmp_path_factory.mktemp("full") / "1", range(8), parent=base))


def test_version_0_chooses_the_grids_that_its_line_keeps(base: Version, full: Version) -> None:
    assert base.digest == base.snapshot.digest()
    assert all(spec.grid is not None for spec in base.snapshot.table)
    assert full.digest == full.snapshot.digest() != base.digest
    assert full.snapshot.table == base.snapshot.table


@pytest.mark.parametrize("name", ["sparse", "hashed", "topk", "pruned"])
def test_a_diff_is_applied_as_a_device_does(name: str, base: Version, full: Version, tmp_path: Path) -> None:
    new_version = make(name, tmp_path / "1", range(8), parent=base, budget=BUDGET, full=full)
    table = base.snapshot.table
    assert new_version.payload is not None
    assert new_version.kind == ("hashed" if name == "hashed" else "sparse")
    again = apply(base.snapshot, [open_payload(new_version.payload, table, base.digest)], tmp_path / "device")
    assert again == new_version.digest == Snapshot(new_version.weights).digest()
    assert len(new_version.payload) <= BUDGET * fp32_bytes(table)


@pytest.mark.parametrize("name", ["full", "factorised"])
def test_what_no_diff_carries_is_a_snapshot(name: str, base: Version, full: Version, tmp_path: Path) -> None:
    new_version = make(name, tmp_path / "1", range(8), parent=base, budget=BUDGET, full=full)
    assert (new_version.kind, new_version.table) == ("snapshot", base.snapshot.table)
    assert new_version.digest == Snapshot(new_version.weights).digest()
    if name == "full":
        assert (new_version.payload, new_version.digest) == (None, full.digest), "the same seed makes the same version"
    else:
        assert new_version.payload is not None
        assert len(new_version.payload) <= BUDGET * fp32_bytes(new_version.table)


def test_a_version_learns(base: Version, tmp_path: Path) -> None:
    new_version = make("sparse", tmp_path / "1", range(8), parent=base, budget=BUDGET)
    task = PointsTask()
    new = task.domain(range(5, 8), 200, seed=9)
    before, after = (
        task.errors(snapshot.read_all(), new) for snapshot in (base.snapshot, Snapshot(new_version.weights))
    )
    assert after.errors < 0.5 * before.errors
    assert np.any(Snapshot(new_version.weights).read("0.weight") == base.snapshot.read("0.weight"))


@pytest.mark.parametrize("name", ["sparse", "hashed"])
def test_training_goes_on_where_tensors_left_their_grids(name: str, base: Version, tmp_path: Path) -> None:
    """The new grid is trained on, what is off the grid stays as it is."""
    diff = outgrowing_diff(base.snapshot.table, "0.weight", "2.bias", by=4)
    parent = applied(base, diff, tmp_path / "1")
    new_version = make(name, tmp_path / "2", range(8), parent=parent, budget=BUDGET)
    after = Snapshot(new_version.weights)
    assert new_version.table == after.table == parent.snapshot.table != base.snapshot.table
    assert new_version.digest == after.digest()
    changed = {spec.name for spec in after.table if np.any(after.read(spec.name) != parent.snapshot.read(spec.name))}
    assert changed == {"0.weight", "0.bias", "2.weight"}


@pytest.mark.parametrize("name", ["sparse", "hashed", "full"])
def test_int8_is_trained_in_whole_steps_of_its_scale(name: str, tmp_path: Path) -> None:
    task = Int8Task()
    base = version_of(make("base", tmp_path / "0", range(5), task))
    made = version_of(make(name, tmp_path / "1", range(8), task, parent=base, budget=BUDGET))
    assert made.snapshot.table == base.snapshot.table
    before, after = base.snapshot.read_all(), made.snapshot.read_all()
    constant = {spec.name for spec in base.snapshot.table if np.array_equal(before[spec.name], after[spec.name])}
    assert constant == {"0.weight_scale", "2.weight_scale"}
    assert {name for name, array in after.items() if array.dtype == np.int8} == {"0.weight", "2.weight"}
    points = task.domain(range(5, 8), 200, seed=9)
    worse, better = (task.errors(_in_fp32(weights), points) for weights in (before, after))
    assert better.errors < 0.5 * worse.errors


def _in_fp32(weights: dict[str, Any]) -> dict[str, Any]:
    scaled = {name: weights[name] * weights[f"{name}_scale"] for name in weights if f"{name}_scale" in weights}
    return {**weights, **scaled}


def test_a_diff_needs_a_parent(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="no parent"):
        make("sparse", tmp_path / "0", range(5))


def test_nothing_is_written_once_it_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        make("base", tmp_path / "0", range(5), on_progress=lambda done, message: done < 0.5)
    assert not (tmp_path / "0").exists()
