"""What was typed into a form's fields, as the API takes it: what is empty was not said. Raises Invalid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from diffserver.errors import Invalid

N = TypeVar("N", int, float)

Given = Mapping[str, str]


def text(given: Given, name: str) -> str | None:
    """Return a text without the blanks around it; None where there is none."""
    return given.get(name, "").strip() or None


def number(given: Given, name: str) -> float | None:
    """Return a number."""
    typed = text(given, name)
    return None if typed is None else _read(name, typed, float)


def whole(given: Given, name: str) -> int | None:
    """Return a whole number."""
    typed = text(given, name)
    return None if typed is None else _read(name, typed, int)


def moment(given: Given, name: str) -> str | None:
    """Return a moment that was typed in UTC, with its zone."""
    typed = text(given, name)
    return None if typed is None else f"{typed}Z"


def parts(given: Given, name: str) -> list[str]:
    """Return the parts of a text between commas."""
    return [part.strip() for part in given.get(name, "").split(",") if part.strip()]


def percent(given: Given, name: str) -> float | None:
    """Return a share that was typed in percent."""
    typed = number(given, name)
    return None if typed is None else typed / 100


def _read(name: str, typed: str, kind: Callable[[str], N]) -> N:
    try:
        return kind(typed)
    except ValueError as error:
        what = "whole number" if kind is int else "number"
        raise Invalid(f"{name.replace('_', ' ')}: {typed[:40]!r} is no {what}", "type digits") from error
