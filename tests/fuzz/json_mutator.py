"""Mutate JSON into other valid JSON: replace a value; drop, add, rename or move a field."""

from __future__ import annotations

import json
from random import Random
from typing import Any

TEMPTING: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**53, 2**53 - 1, -(2**53), 2**64, 1e308, 0.5, "", "x", "5a" * 32, "5A" * 32, "../a",
    "m/v0/2.snapshot", "m/v0/2.from.1", "m/graph/" + "5a" * 8, "x" * 4001, "\ud800", "\x00", [], {}, [[]], [None] * 25,
)  # fmt: skip
"""Replacement values."""


def mutate(text: bytes, chance: Random) -> bytes | None:
    """Return JSON with some changes; None if the input is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        value = changed(value, chance)
    return json.dumps(value).encode()


def changed(value: Any, chance: Random) -> Any:
    """Return the value with one change somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        return _object(dict(value), chance)
    if isinstance(value, list) and value and chance.random() < 0.85:
        return _list(list(value), chance)
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 10, -value, value))
    if isinstance(value, str) and value and chance.random() < 0.5:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(("", "/", ".", "0", "z", "\n", value)) + value[at + 1 :]
    return chance.choice(TEMPTING)


def _object(value: dict[str, Any], chance: Random) -> dict[str, Any]:
    name, act = chance.choice(list(value)), chance.random()
    if act < 0.8:
        value[name] = changed(value[name], chance)
    elif act < 0.9:
        del value[name]
    else:
        value[chance.choice((name, "more", chance.choice(list(value))))] = chance.choice((*value.values(), None))
    return value


def _list(value: list[Any], chance: Random) -> list[Any]:
    at, act = chance.randrange(len(value)), chance.random()
    if act < 0.8:
        value[at] = changed(value[at], chance)
    elif act < 0.9:
        del value[at]
    else:
        value.insert(at, value[at])
    return value
