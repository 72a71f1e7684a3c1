"""Parameters of a method as they are typed, `spread=0.7,steps=900`: of its recipe or of its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from diffserver.errors import Invalid
from diffserver.methods.definition import Definition

PARTS = ("recipe", "schedule")


def with_parameters(definition: Definition, given: Mapping[str, str]) -> Definition:
    """Return the definition with these parameters; raises Invalid if it has no such ones, or not of such values."""
    for name, text in given.items():
        definition = _with(definition, name, text)
    return definition


def _with(definition: Definition, name: str, text: str) -> Definition:
    owners = {part: owner for part in PARTS if (owner := getattr(definition, part)) is not None}
    for part, owner in owners.items():
        if name in {field.name for field in fields(owner)}:
            return replace(definition, **{part: replace(owner, **{name: _as(getattr(owner, name), name, text)})})
    known = sorted(field.name for owner in owners.values() for field in fields(owner))
    raise Invalid(f"there is no parameter {name!r}", f"this method has {', '.join(known) or 'none'}")


def _as(now: Any, name: str, text: str) -> Any:
    """The text as what the parameter is now: a whole number, a number or a truth value."""
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text]
        return int(text) if isinstance(now, int) or now is None else float(text)
    except (ValueError, KeyError) as error:
        raise Invalid(f"{name}={text} is no value like {now}", "give a number, or true or false") from error
