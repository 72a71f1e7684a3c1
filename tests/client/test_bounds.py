"""Fields with bounds: what is read, what is refused, and how the bounds are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from diffclient.bounds import About, Allowed, Choice, Number, Text, allowed, read
from diffclient.errors import StateError
from diffclient.strict_json import fields_of

Name = Annotated[str, Text(1, 9, "[a-z]+")]


@dataclass(frozen=True)
class Heard:
    """One field of each kind."""

    what: Annotated[Literal["owl", "jay"], About("Which bird.", "owl")]
    where: Name
    pitch: Annotated[Annotated[float, Number(0, 20_000)] | None, About("In hertz.", 440)]
    times: Annotated[Annotated[int, Number(-1, 9)], About("How often.", 3)] = 1
    note: Annotated[str, Text(0, 5)] | None = None


OWL = {"what": "owl", "where": "wood", "pitch": 1.5, "times": 2, "note": "a\nb"}


def heard(value: dict[str, Any]) -> Heard:
    return read(Heard, fields_of(value, "the bird", StateError))


def test_the_bounds_are_found_wherever_they_stand() -> None:
    assert allowed(Heard) == {
        "what": Allowed(str, Choice(("owl", "jay")), False, About("Which bird.", "owl")),
        "where": Allowed(str, Text(1, 9, "[a-z]+"), False, None),
        "pitch": Allowed(float, Number(0, 20_000), True, About("In hertz.", 440)),
        "times": Allowed(int, Number(-1, 9), False, About("How often.", 3)),
        "note": Allowed(str, Text(0, 5), True, None),
    }


def test_what_is_within_its_bounds_is_read() -> None:
    assert heard(OWL) == Heard("owl", "wood", 1.5, 2, "a\nb")
    assert heard({"what": "jay", "where": "b", "pitch": None, "more": 1}) == Heard("jay", "b", None)
    assert heard(OWL | {"pitch": 20_000, "times": -1, "note": ""}).pitch == 20_000


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("what", "emu", "one of owl, jay"),
        ("what", ["owl"], "one of owl, jay"),
        ("what", None, "one of owl, jay"),
        ("where", "", r"a text of 1 to 9 characters, \[a-z\]\+"),
        ("where", "x" * 10, "a text of 1 to 9 characters"),
        ("where", "wood\n", "a text of 1 to 9 characters"),
        ("where", 3, "a text of 1 to 9 characters"),
        ("pitch", -0.1, "a number from 0 to 20,000, or null"),
        ("pitch", float("nan"), "a number from 0 to 20,000"),
        ("pitch", float("inf"), "a number from 0 to 20,000"),
        ("pitch", "440", "a number from 0 to 20,000"),
        ("pitch", True, "a number from 0 to 20,000"),
        ("times", 10, "a number from -1 to 9"),
        ("times", 2.0, "a number from -1 to 9"),
        ("times", False, "a number from -1 to 9"),
        ("times", None, "a number from -1 to 9"),
        ("note", "\x07", "a text of 0 to 5 characters, or null"),
        ("note", "\ud800", "a text of 0 to 5 characters"),
    ],
)
def test_what_is_out_of_its_bounds_is_refused(field: str, value: object, told: str) -> None:
    with pytest.raises(StateError, match=f"the bird: {field} is not {told}"):
        heard(OWL | {field: value})


@pytest.mark.parametrize("field", ["what", "where"])
def test_what_has_no_default_must_be_there(field: str) -> None:
    with pytest.raises(StateError, match=field):
        heard({name: value for name, value in OWL.items() if name != field})


@pytest.mark.parametrize("hint", [int, "int | None", Annotated[int, "any"], "Name | Annotated[int, Number(0, 1)]"])
def test_a_field_without_bounds_is_a_mistake(hint: Any) -> None:
    @dataclass
    class Loose:
        field: int

    Loose.__annotations__["field"] = hint
    with pytest.raises(TypeError, match="says no bounds"):
        allowed(Loose)
