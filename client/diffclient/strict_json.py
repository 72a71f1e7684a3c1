"""Strict reading of JSON objects from outside: errors name the field that is missing or ill-typed.

Unknown fields are ignored, so that a newer server can talk to an older client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
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

    def only(self, *names: str) -> Fields:
        """Return the fields, if they are these and no others."""
        if odd := sorted(self.values.keys() ^ set(names)):
            raise self.error(f"{self.what}: missing or unknown fields: {', '.join(odd)[:200]}")
        return self

    def text(self, name: str, limit: int = _TEXT_LIMIT) -> str:
        """Return a text of 1 to `limit` characters."""
        return self._text(self.values.get(name), name, limit)

    def choice(self, name: str, choices: Sequence[T]) -> T:
        """Return the one of `choices`, which are texts, that the field says."""
        value = self.text(name)
        for known in choices:
            if known == value:
                return known
        raise self.error(
            f"{self.what}: {name} is {value[:40]!r}, and this client knows {', '.join(map(str, choices))}: "
            "correct it, or update the client"
        )

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

    def texts(self, name: str, limit: int) -> list[str]:
        """Return a list of at most `limit` texts."""
        return [self._text(item, f"an item of {name}", _TEXT_LIMIT) for item in self.items(name, limit)]

    def objects(self, name: str, limit: int) -> list[Fields]:
        """Return the fields of each object in a list of at most `limit`."""
        return [fields_of(item, f"{self.what}: an item of {name}", self.error) for item in self.items(name, limit)]

    def inside(self, name: str) -> Fields:
        """Return the fields of an object within this one."""
        return fields_of(self.values.get(name), f"{self.what}: {name}", self.error)

    def maybe(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return `read(name)`, or None where the field is null or absent."""
        return None if self.values.get(name) is None else read(name)

    def _text(self, value: object, name: str, limit: int) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= limit or not is_printable(value):
            raise self.error(f"{self.what}: {name} is not a text of 1 to {limit:,} characters")
        return value


def fields_of(value: object, what: str, error: type[FormatError]) -> Fields:
    """Return the fields of a JSON value; raises `error` unless it is an object."""
    if not isinstance(value, dict):
        raise error(f"{what} is not a JSON object")
    return Fields(what, value, error)


def parse(data: bytes, what: str, error: type[FormatError]) -> Fields:
    """Read one JSON object from UTF-8; raises `error`, also on doubled names, NaN and deep nesting."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse)
    except (ValueError, RecursionError) as cause:
        raise error(f"{what} is not JSON: {cause}") from cause
    return fields_of(value, what, error)


def is_printable(text: str) -> bool:
    """Tell whether a text can be encoded and holds no control characters but line ends and tabs."""
    return not any((char < " " and char not in "\n\t") or "\ud800" <= char <= "\udfff" for char in text)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return fields


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
