"""A method's parameters in its recipe and its schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="methods need torch: pip install 'diffserver[train]'")

from diffserver.errors import Invalid
from diffserver.methods.definition import load_definition
from diffserver.methods.method import MethodError

SPARSE = load_definition("sparse")


def test_parameters_are_those_of_recipe_and_schedule_and_changes_name_them() -> None:
    assert SPARSE.recipe
    changed = SPARSE.with_parameters({"steps": "90", "optimiser": "sgd", "learning_rate": 0.5, "spread": "0.5"})
    assert changed.recipe == replace(SPARSE.recipe, steps=90, optimiser="sgd", learning_rate=0.5)
    assert changed.schedule == replace(SPARSE.schedule, spread=0.5)
    assert list(changed.changes(SPARSE)) == [
        "steps=90 (usually 1250)", "learning_rate=0.5 (usually 0.004)", "optimiser=sgd (usually adam)",
        "spread=0.5 (usually 0.7)",
    ]  # fmt: skip
    assert list(SPARSE.with_parameters({"epochs": "3"}).changes(SPARSE)) == ["epochs=3"]
    assert list(SPARSE.changes(SPARSE)) == []


def test_steps_take_the_place_of_epochs() -> None:
    by_epochs = SPARSE.with_parameters({"epochs": 3})
    assert by_epochs.recipe
    assert by_epochs.recipe.epochs == 3
    assert by_epochs.with_parameters({"steps": 9}) == SPARSE.with_parameters({"steps": 9})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("depth", "3", "no parameter 'depth'; this method has aim, batch, clip, coldest"),
        ("steps", "many", "steps=many is no value like 1250"),
        ("spread", "wide", "spread=wide is no value like 0.7"),
    ],
)
def test_an_unknown_parameter_or_another_kind_of_value_is_refused(name: str, value: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        SPARSE.with_parameters({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", "0"), ("epochs", "0"), ("learning_rate", "0"), ("learning_rate", "nan"), ("batch", "0"),
        ("replay", "1"), ("warmup", "-0.1"), ("clip", "0"), ("weight_decay", "-1"), ("optimiser", "adagrad"),
    ],
)  # fmt: skip
def test_a_value_that_trains_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(MethodError, match=f"{name}=.* trains nothing: give "):
        SPARSE.with_parameters({name: value})
