"""How long a training is to be."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="methods need torch: pip install 'diffserver[train]'")

from diffserver.methods.method import MethodError
from diffserver.methods.recipe import Recipe

RECIPE = Recipe(steps=20, learning_rate=0.01)


def test_epochs_replace_steps_where_they_are_given() -> None:
    assert RECIPE.with_epochs(None) == RECIPE
    assert RECIPE.with_epochs(3).epochs == 3


@pytest.mark.parametrize("epochs", [0, -1])
def test_a_training_without_epochs_is_refused(epochs: int) -> None:
    with pytest.raises(MethodError, match="trains nothing"):
        RECIPE.with_epochs(epochs)
