"""Read a method's parameters from text, `spread=0.7,steps=900`: those of its recipe or of its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from diffserver.errors import Invalid
from diffserver.methods.definition import Definition

PARTS = ("recipe", "schedule")


def with_parameters(definition: Definition, parameters: Mapping[str, str]) -> Definition:
    """Return the definition with these parameters; raises Invalid on an unknown one or a wrong value."""
    for name, text in parameters.items():
        definition = _with(definition, name, text)
    return definition


def _with(definition: Definition, name: str, text: str) -> Definition:
    owners = {part: owner for part in PARTS if (owner := getattr(definition, part)) is not None}
    for part, owner in owners.items():
        if name in {field.name for field in fields(owner)}:
            return replace(definition, **{part: replace(owner, **{name: _as(getattr(owner, name), name, text)})})
    names = sorted(field.name for owner in owners.values() for field in fields(owner))
    raise Invalid(f"there is no parameter {name!r}", f"this method has {', '.join(names) or 'none'}")


def _as(current: Any, name: str, text: str) -> Any:
    """Return the text as a value of the current one's type: a whole number, a number or a truth value."""
    try:
        if isinstance(current, bool):
            return {"true": True, "false": False}[text]
        return int(text) if isinstance(current, int) or current is None else float(text)
    except (ValueError, KeyError) as error:
        raise Invalid(f"{name}={text} is no value like {current}", "give a number, or true or false") from error
