"""Bounds of values that travel: said once, in a dataclass's annotations, and held to by whoever reads the values.

`Annotated[int, Number(0, 9)]` is a whole number from 0 to 9, `Annotated[str, Text(1, 200)]` a text, a `Literal` one of
some texts; `| None` allows null, and `About` says what a field means. Who describes the same values otherwise, as a
server does, starts from `allowed`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from diffclient.strict_json import Fields, is_printable

T = TypeVar("T")


@dataclass(frozen=True)
class Number:
    """A number from `least` to `most`."""

    least: int
    most: int

    def holds(self, value: Any) -> bool:
        """Tell whether a number is in its bounds."""
        return bool(self.least <= value <= self.most)

    def __str__(self) -> str:
        return f"a number from {self.least:,} to {self.most:,}"


@dataclass(frozen=True)
class Text:
    """A text of `least` to `most` characters, all of it like the pattern, none of which would garble a terminal."""

    least: int
    most: int
    pattern: str = ""

    def holds(self, value: Any) -> bool:
        """Tell whether a text is in its bounds."""
        fits = not self.pattern or re.fullmatch(self.pattern, value)
        return bool(self.least <= len(value) <= self.most and is_printable(value) and fits)

    def __str__(self) -> str:
        return f"a text of {self.least:,} to {self.most:,} characters" + (f", {self.pattern}" if self.pattern else "")


@dataclass(frozen=True)
class Choice:
    """One of some texts."""

    texts: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Tell whether a text is one of them."""
        return value in self.texts

    def __str__(self) -> str:
        return f"one of {', '.join(self.texts)}"


@dataclass(frozen=True)
class About:
    """The meaning of a field, in a sentence, and an example."""

    text: str
    example: object


@dataclass(frozen=True)
class Allowed:
    """The values that a field may have: of one type within a bound, and null, where that is allowed."""

    type: type[int] | type[float] | type[str]
    bound: Number | Text | Choice
    nullable: bool
    about: About | None

    def holds(self, value: Any) -> bool:
        """Tell whether this is such a value, as JSON brings it: 3 may stand for 3.0, and true is no number."""
        if value is None:
            return self.nullable
        typed = type(value) is self.type or (self.type is float and type(value) is int)
        return typed and self.bound.holds(value)

    def __str__(self) -> str:
        return f"{self.bound}, or null" if self.nullable else str(self.bound)


def allowed(of: type) -> dict[str, Allowed]:
    """Return what each field of a dataclass may hold; raises TypeError on an annotation that says no bounds."""
    hints = get_type_hints(of, include_extras=True)
    return {field.name: _allowed(hints[field.name]) for field in fields(of)}


def read(of: type[T], given: Fields) -> T:
    """Return a dataclass of an object's fields; raises their error on one that is missing or out of bounds."""
    defaults = {field.name: field.default for field in fields(of)}  # type: ignore[arg-type]  # a dataclass, or TypeError
    values = {name: given.values.get(name, defaults[name]) for name in defaults}
    for name, may in allowed(of).items():
        if not may.holds(values[name]):
            raise given.error(f"{given.what}: {name} is not {may}")
    return of(**values)


def _allowed(hint: Any) -> Allowed:
    inner, about = _split(hint, About)
    alternatives = get_args(inner) if get_origin(inner) in (Union, UnionType) else (inner,)
    within = [part for part in alternatives if part is not NoneType]
    base, bound = _split(within[0], Number, Text)
    if get_origin(base) is Literal:
        base, bound = str, Choice(get_args(base))
    if bound is None or len(within) > 1:
        raise TypeError(f"{hint} says no bounds")
    return Allowed(base, bound, len(alternatives) > 1, about)


def _split(hint: Any, *of: type) -> tuple[Any, Any]:
    """Return an annotation without its metadata of these types, and the last of that; None if there is none."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, *metadata = get_args(hint)
    others = [item for item in metadata if not isinstance(item, of)]
    chosen = [item for item in metadata if isinstance(item, of)]
    return Annotated[base, *others] if others else base, chosen[-1] if chosen else None
