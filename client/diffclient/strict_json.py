"""A JSON object from outside, read strictly: what is missing or ill-typed is named, never guessed.

Fields that nobody asks for are ignored, so that a younger server can talk to an older client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from diffclient.errors import FormatError

T = TypeVar("T")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 53
_TEXT_LIMIT = 4000


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object, what it is called in messages, and the error that it raises."""

    what: str
    values: Mapping[str, Any]
    error: type[FormatError]

    def text(self, name: str) -> str:
        """Return a text of 1 to 4,000 characters."""
        value = self.values.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _TEXT_LIMIT or not printable(value):
            raise self.error(f"{self.what}: {name} is not a short text")
        return value

    def digest(self, name: str) -> str:
        """Return a SHA-256 in lower-case hex."""
        value = self.values.get(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.error(f"{self.what}: {name} is not a SHA-256 in lower-case hex")
        return value

    def whole(self, name: str) -> int:
        """Return a whole number that JSON carries exactly."""
        value = self.values.get(name)
        if type(value) is not int or abs(value) >= _LARGEST:
            raise self.error(f"{self.what}: {name} is not a whole number")
        return value

    def count(self, name: str) -> int:
        """Return a whole number that is not negative."""
        value = self.whole(name)
        if value < 0:
            raise self.error(f"{self.what}: {name} is negative")
        return value

    def seconds(self, name: str) -> float:
        """Return a number of seconds, not negative."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
            raise self.error(f"{self.what}: {name} is not a number of seconds")
        return float(value)

    def items(self, name: str, limit: int) -> list[Any]:
        """Return a list of at most `limit` items."""
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) > limit:
            raise self.error(f"{self.what}: {name} is not a list of at most {limit} items")
        return value

    def maybe(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return `read(name)`, or None where the field is null or absent."""
        return None if self.values.get(name) is None else read(name)


def fields_of(value: object, what: str, error: type[FormatError]) -> Fields:
    """Return the fields of a JSON value; raises `error` unless it is an object."""
    if not isinstance(value, dict):
        raise error(f"{what} is not a JSON object")
    return Fields(what, value, error)


def parse(data: bytes, what: str, error: type[FormatError]) -> Fields:
    """Read one JSON object from UTF-8; raises `error`, also on doubled names, NaN and deep nesting."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as cause:
        raise error(f"{what} is not JSON: {cause}") from cause
    return fields_of(value, what, error)


def printable(text: str) -> bool:
    """Tell whether a text can be encoded and holds no control characters but line ends and tabs."""
    return not any((char < " " and char not in "\n\t") or "\ud800" <= char <= "\udfff" for char in text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
