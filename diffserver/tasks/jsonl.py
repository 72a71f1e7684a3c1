"""Read JSON Lines files: a JSON object for each line, with its line number for messages.

The meaning of the fields is left to the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffclient.errors import FormatError
from diffclient.strict_json import parse
from diffserver.tasks.errors import DataError


@dataclass(frozen=True)
class JsonLine:
    """The fields of one line; `place` is the file's path and the line's number."""

    place: str
    fields: Mapping[str, Any]


def read_lines(path: Path) -> list[JsonLine]:
    """Return the lines of a file in its order; blank ones are skipped.

    Raises DataError if the file cannot be read or holds no line, or a line is not a JSON object.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the examples ({error})") from error
    numbered = enumerate(content.splitlines(), start=1)
    lines = [
        JsonLine(f"{path}:{number}", _fields(line, f"{path}:{number}")) for number, line in numbered if line.strip()
    ]
    if not lines:
        raise DataError(f"{path}: the file holds no example")
    return lines


def _fields(line: bytes, place: str) -> Mapping[str, Any]:
    try:
        return parse(line, f"{place}: the line", FormatError).values
    except FormatError as error:
        raise DataError(str(error)) from error
