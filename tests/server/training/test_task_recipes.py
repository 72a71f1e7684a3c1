"""Where a task's recipe, the package's and a request's parameters meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="methods need torch: pip install 'diffserver[train]'")

from diffserver.errors import Invalid
from diffserver.methods.definition import load_definition
from diffserver.tasks import TaskError, load_task
from diffserver.training.task_recipes import definition_of
from tests.server.points import PointsTask


class Wanting(PointsTask):
    """Points with recipes of their own."""

    def __init__(self, recipes: Mapping[str, Mapping[str, float | str]]) -> None:
        self.recipes = recipes


def test_a_task_without_a_recipe_for_a_method_has_the_packages() -> None:
    own = Wanting({"sparse": {"steps": 90}})
    assert definition_of(PointsTask(), "sparse") == definition_of(own, "sparse").with_parameters({"steps": 1250})
    assert definition_of(PointsTask(), "hashed") == definition_of(own, "hashed") == load_definition("hashed")


def test_a_request_goes_before_the_task_and_the_task_before_the_package() -> None:
    task, usual = Wanting({"sparse": {"steps": 90, "batch": 8, "spread": 0.5}}), load_definition("sparse")
    definition = definition_of(task, "sparse", {"steps": "70"})
    assert usual.recipe
    assert definition.recipe == replace(usual.recipe, steps=70, batch=8)
    assert definition.schedule.spread == 0.5


def test_the_reference_of_speech_is_as_long_as_was_measured_there() -> None:
    lengths = [definition_of(task, "full").recipe for task in (load_task("asr"), PointsTask())]
    assert [recipe and recipe.steps for recipe in lengths] == [910, 1250]


@pytest.mark.parametrize(
    ("recipes", "reason"),
    [
        ({"sprase": {"steps": 9}}, "a recipe for 'sprase', which is no method: choose among "),
        ({"sparse": {"depth": 9}}, "the task's recipe for sparse: there is no parameter 'depth'"),
        ({"sparse": {"steps": 0}}, "the task's recipe for sparse: steps=0 trains nothing"),
    ],
)
def test_a_tasks_recipe_that_is_none_is_the_tasks_error(
    recipes: Mapping[str, Mapping[str, float | str]], reason: str
) -> None:
    with pytest.raises(TaskError, match=reason):
        definition_of(Wanting(recipes), "sparse")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("spread", "0.5", "hashed: there is no parameter 'spread'; this method has aim, batch, bits"),
        ("batch", "0", "hashed: batch=0 trains nothing: give at least 1"),
    ],
)
def test_what_a_request_cannot_mean_is_refused_with_the_method(name: str, value: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        definition_of(PointsTask(), "hashed", {name: value})
