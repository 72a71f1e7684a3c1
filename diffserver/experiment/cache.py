"""The finished parts of an experiment, kept in a folder so that a run goes on where the last one ended.

A version is a folder with its weights and a record; an evaluation is a file. Either appears whole or not at all, under
a name that is a hash of all that decides it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffclient import durable
from diffclient.errors import SnapshotError
from diffclient.tensors.snapshot import Snapshot

FORMAT = 1
"""Of records; raised when a record says something else, so that older ones are not taken."""

WEIGHTS, PAYLOAD, RECORD = "weights.safetensors", "payload.ndiff", "record.json"


@dataclass(frozen=True)
class Record:
    """The facts of a version besides its weights."""

    digest: str
    payload_bytes: int
    """0 for a base and for a fully retrained model."""
    seconds: float
    """Of training it and what follows, without its teacher."""
    code: str
    """Of the code that made it."""


@dataclass(frozen=True)
class Version:
    """A version of a chain, on disk."""

    folder: Path
    record: Record

    @property
    def snapshot(self) -> Snapshot:
        """Its weights."""
        return Snapshot(self.folder / WEIGHTS)

    @property
    def digest(self) -> str:
        """Its digest."""
        return self.record.digest


class Cache:
    """A work folder. One experiment at a time writes into it."""

    def __init__(self, folder: Path, any_code: bool = False) -> None:
        """`any_code`: results of other code than today's are taken, too."""
        self._folder, self._any_code = folder, any_code

    def version(self, about: Mapping[str, Any], code: str) -> Version | None:
        """Return the version that was made of this, whole; None if there is none, or only one of other code."""
        folder = self._place(about)
        try:
            record = Record(**json.loads((folder / RECORD).read_text())["record"])
            whole = Snapshot(folder / WEIGHTS).digest() == record.digest
        except (OSError, ValueError, KeyError, TypeError, SnapshotError):
            return None
        return Version(folder, record) if whole and (self._any_code or record.code == code) else None

    @contextmanager
    def draft(self, about: Mapping[str, Any]) -> Iterator[Path]:
        """Give an empty folder to make a version in; what a killed run left there is removed."""
        draft = self._place(about).with_suffix(".partial")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def keep(self, draft: Path, about: Mapping[str, Any], record: Record) -> Version:
        """Give the drafted version its name; what other code left under it is replaced."""
        folder = self._place(about)
        _write(draft / RECORD, {"about": about, "record": asdict(record)})
        durable.remove(folder)
        durable.rename(draft, folder)
        return Version(folder, record)

    def evaluation(self, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what `keep_evaluation` was given."""
        try:
            errors: dict[str, Any] = json.loads(self._evaluation(about).read_text())["found"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return errors

    def keep_evaluation(self, about: Mapping[str, Any], errors: Mapping[str, Any]) -> None:
        """Keep an evaluation, plain JSON values."""
        path = self._evaluation(about)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, {"about": about, "found": errors})

    def _place(self, about: Mapping[str, Any]) -> Path:
        return self._folder / "versions" / _name(about)

    def _evaluation(self, about: Mapping[str, Any]) -> Path:
        return self._folder / "evaluations" / f"{_name(about)}.json"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    durable.write_file(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def _name(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([FORMAT, about], sort_keys=True).encode()).hexdigest()[:20]
