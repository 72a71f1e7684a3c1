"""What people write to set a method's parameters."""

from __future__ import annotations

import pytest

from diffserver.choices.parameters import parse
from diffserver.errors import Invalid


def test_values_come_by_name() -> None:
    assert parse(["learning_rate=2e-3", "optimiser=sgd"]) == {"learning_rate": "2e-3", "optimiser": "sgd"}
    assert parse([]) == {}


@pytest.mark.parametrize("text", ["steps", "=3", "steps=", ""])
def test_text_that_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="sets no parameter; write name=value"):
        parse([text])


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="steps is given twice"):
        parse(["steps=3", "steps=4"])
