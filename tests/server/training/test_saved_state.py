"""Trainings that stop between two steps: what goes on from their state ends with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from diffserver.methods.definition import load_definition
from diffserver.methods.recipe import Recipe
from diffserver.training import saved_state
from diffserver.training.batches import Lesson, steps_of
from diffserver.training.make_version import make_version
from diffserver.training.new_version import NewVersion
from diffserver.training.saved_state import State, UnfitState
from tests.server.points import INPUTS, Point, PointsTask, as_version
from tests.server.training.test_make_version import Int8Task, Version

STEPS = 40


class Killed(Exception):
    """The end of a worker."""


class Album:
    """Keeps the state of every step in a file, and dies after one of them."""

    def __init__(self, folder: Path, dies_after: int | None = None) -> None:
        self.folder, self.dies_after = folder, dies_after
        self.begun_at: list[int] = []
        self.refused: list[str] = []
        folder.mkdir(exist_ok=True)

    def last(self) -> State | None:
        files = sorted(self.folder.iterdir())
        state = None if self.refused or not files else saved_state.read(files[-1])
        self.begun_at.append(0 if state is None else state["diff"]["done"])
        return state

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)

    def keep(self, state: Callable[[], State], *, ended: bool) -> None:
        done = state()["diff"]["done"]
        assert ended == (done == STEPS)
        saved_state.write(state(), self.folder / f"{done:04}")
        if done == self.dies_after:
            raise Killed


class Restless(PointsTask):
    """Draws all kinds of random numbers in training: of the batches, of dropout, and statistics that run along."""

    def network(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            hidden = nn.Linear(INPUTS, 32)
            return nn.Sequential(hidden, nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 8))

    def batch(self, examples: Any, rng: np.random.Generator, device: str) -> Any:
        noisy = [Point(point.vector + rng.normal(0, 0.1, INPUTS).astype(np.float32), point.label) for point in examples]
        return super().batch(noisy, rng, device)


def made(
    tmp_path: Path, method: str, keeper: Album | None, optimiser: str = "adam", task: PointsTask | None = None
) -> NewVersion:
    """The version that a short training makes: of a parent, or as a base."""
    task, folder = task or Restless(), Path(mkdtemp(dir=tmp_path))
    lesson = Lesson(task.domain([0, 1], 70, seed=1), [task.domain([2], 40, seed=2), task.domain([3, 4], 60, seed=3)])
    changes = {"steps": STEPS, "learning_rate": 0.01, "batch": 8, "optimiser": optimiser}
    definition = load_definition(method).with_parameters(changes)
    parent = None
    if method != "base":
        initial = {name: tensor.numpy() for name, tensor in task.network(0).state_dict().items()}
        snapshot = as_version(folder / "parent.safetensors", initial)
        parent = Version(snapshot, snapshot.digest())
    out = folder / "version.safetensors"
    return make_version(task, definition, lesson, out, seed=3, parent=parent, budget=0.2, device="cpu", keeper=keeper)


METHODS = ("sparse", "hashed", "full", "base")


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("method", METHODS)
def test_wherever_it_stopped_it_ends_with_the_same_bits(tmp_path: Path, method: str, optimiser: str) -> None:
    require_the_same_bits(tmp_path, method, optimiser, Restless())


@pytest.mark.parametrize("method", ["sparse", "hashed", "full"])
def test_int8_ends_with_the_same_bits(tmp_path: Path, method: str) -> None:
    require_the_same_bits(tmp_path, method, "adam", Int8Task())


def require_the_same_bits(tmp_path: Path, method: str, optimiser: str, task: PointsTask) -> None:
    straight = made(tmp_path, method, None, optimiser, task)
    keeper = Album(tmp_path / "states")
    stops = (1, 3, 4, 12, 20, 24, 33, 34, 35, 39, STEPS)
    for stop in stops:
        keeper.dies_after = stop
        with pytest.raises(Killed):
            made(tmp_path, method, keeper, optimiser, task)
    keeper.dies_after = None
    again = made(tmp_path, method, keeper, optimiser, task)
    assert keeper.begun_at == [0, *stops]
    assert (again.digest, again.payload) == (straight.digest, straight.payload)


def test_a_state_that_does_not_fit_is_refused_and_training_begins_anew(tmp_path: Path) -> None:
    straight = made(tmp_path, "sparse", None)
    keeper = Album(tmp_path / "states", dies_after=9)
    with pytest.raises(Killed):
        made(tmp_path, "hashed", keeper)
    keeper.dies_after = None
    assert made(tmp_path, "sparse", keeper).digest == straight.digest
    assert len(keeper.refused) == 1
    assert "does not fit" in keeper.refused[0]


class Trap:
    """Does something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04"], ids=["empty", "text", "cut"])
def test_what_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(UnfitState, match="cannot be read"):
        saved_state.read(tmp_path / "state")


def test_no_code_in_a_state_runs(tmp_path: Path) -> None:
    torch.save({"diff": Trap(tmp_path / "sprung")}, tmp_path / "state")
    with pytest.raises(UnfitState, match="cannot be read"):
        saved_state.read(tmp_path / "state")
    assert not (tmp_path / "sprung").exists()
    torch.save([1], tmp_path / "state")
    with pytest.raises(UnfitState, match="holds no state"):
        saved_state.read(tmp_path / "state")


def test_epochs_are_counted_on(tmp_path: Path) -> None:
    recipe = Recipe(steps=1, learning_rate=0.1, batch=8, epochs=2, replay=0.5)
    points = Restless()
    assert steps_of(Lesson(points.domain([0], 30, seed=1), [points.domain([1], 9, seed=2)]), recipe) == 15
