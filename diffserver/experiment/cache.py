"""The finished parts of an experiment, kept in a folder so that a run goes on where the last one ended.

A version is a folder with its weights and a record; an evaluation is a file. Either appears whole or not at all. Its
name is a hash of its key: everything that decides it but code.
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
"""The format of records; a new one makes records of older formats invalid."""

WEIGHTS, PAYLOAD, RECORD = "weights.safetensors", "payload.ndiff", "record.json"


@dataclass(frozen=True)
class Record:
    """The facts of a version besides its weights."""

    digest: str
    payload_bytes: int
    """0 for a base and for a fully retrained model."""
    seconds: float
    """The time of training, coding and applying, without its teacher's."""
    code: str
    """The fingerprint of the code that made it."""


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
    """A folder of finished parts. One experiment at a time writes into it."""

    def __init__(self, folder: Path, any_code: bool = False) -> None:
        """Use `folder`; with `any_code`, results of other code are valid, too."""
        self._folder, self._any_code = folder, any_code

    def version(self, key: Mapping[str, Any], code: str) -> Version | None:
        """Return the whole version of this key; None if there is none, or only one of other code."""
        folder = self._version_folder(key)
        try:
            record = Record(**json.loads((folder / RECORD).read_text())["record"])
            whole = Snapshot(folder / WEIGHTS).digest() == record.digest
        except (OSError, ValueError, KeyError, TypeError, SnapshotError):
            return None
        return Version(folder, record) if whole and (self._any_code or record.code == code) else None

    @contextmanager
    def draft(self, key: Mapping[str, Any]) -> Iterator[Path]:
        """Give an empty folder to make a version in; remains of a killed run are removed."""
        draft = self._version_folder(key).with_suffix(".partial")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def keep(self, draft: Path, key: Mapping[str, Any], record: Record) -> Version:
        """Keep the drafted version under its key; one of other code is replaced."""
        folder = self._version_folder(key)
        _write(draft / RECORD, {"about": key, "record": asdict(record)})
        durable.remove(folder)
        durable.rename(draft, folder)
        return Version(folder, record)

    def evaluation(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the evaluation of this key; None if there is none."""
        try:
            errors: dict[str, Any] = json.loads(self._evaluation_file(key).read_text())["found"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return errors

    def keep_evaluation(self, key: Mapping[str, Any], errors: Mapping[str, Any]) -> None:
        """Keep an evaluation, plain JSON values."""
        path = self._evaluation_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, {"about": key, "found": errors})

    def _version_folder(self, key: Mapping[str, Any]) -> Path:
        return self._folder / "versions" / _name(key)

    def _evaluation_file(self, key: Mapping[str, Any]) -> Path:
        return self._folder / "evaluations" / f"{_name(key)}.json"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    durable.write_file(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def _name(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([FORMAT, key], sort_keys=True).encode()).hexdigest()[:20]
