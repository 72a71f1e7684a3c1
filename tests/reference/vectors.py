"""Read the vectors' files, independently of the code that made them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.reference.parents import weights
from tests.reference.records import Tensor

FOLDER = Path(__file__).parent / "vectors"


class Vector(NamedTuple):
    """A payload, its parent, and the expected result."""

    table: tuple[Tensor, ...]
    weights: list[bytes]
    parent: str
    payload: bytes
    result: str | None
    """Digest of the version that it makes; None: it must be refused."""
    error: str | None
    """The name of the error; None: it makes a version."""


def sound(name: str) -> Vector:
    """The vector of this name that is to be applied."""
    described = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    payload = (FOLDER / f"{name}.ndiff").read_bytes()
    return Vector(*parent(described), payload, described["result"], None)


def parent(described: Mapping[str, Any]) -> tuple[tuple[Tensor, ...], list[bytes], str]:
    """Table, weights, digest."""
    table = tuple(Tensor(name, tuple(shape), dtype, grid) for name, shape, dtype, grid in described["table"])
    given = {name: bytes.fromhex(data) for name, data in described["weights"].items()}
    return table, weights(table, described["seed"], given), described["parent"]


def sound_names() -> list[str]:
    """Names of all that are to be applied."""
    return sorted(path.stem for path in FOLDER.glob("*.ndiff"))


def refused() -> Iterator[tuple[str, Vector]]:
    """Those that must be refused, by name."""
    for described in json.loads((FOLDER / "refused.json").read_text(encoding="utf-8")):
        for name, error, payload in described["payloads"]:
            yield name, Vector(*parent(described), bytes.fromhex(payload), None, error)
