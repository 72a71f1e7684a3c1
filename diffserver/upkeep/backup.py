"""Backups: a folder with the objects, each once, and beside them a folder for each moment.

    FOLDER/objects/…                     the objects that any of the backups needs, as in a store
    FOLDER/20260630T023000Z/
        database.db                      all rows, as SQLite, whatever the server's database is
        root.json                        the newest root
        keys/…, operator.token           only if they are asked for
        manifest.json                    what it is, with the SHA-256 of everything

A folder of a moment appears whole or not at all. Going back to one is left to `restore`.
"""

import fcntl
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from diffclient import durable
from diffserver.errors import Conflict, Invalid
from diffserver.settings import ROOT_FILE, TOKEN_FILE, Settings
from diffserver.storage import migrate
from diffserver.storage.copy_objects import OnBytes, copy_missing
from diffserver.storage.copy_rows import copy_rows, count_rows, one_moment
from diffserver.storage.database import connect, now, reading
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import RoleMetadata
from diffserver.upkeep.named_bytes import named_objects

FORMAT = "diffserver-backup-1"
MANIFEST, DATABASE, OBJECTS, KEYS = "manifest.json", "database.db", "objects", "keys"
DRAFT, LOCK = ".unfinished", ".lock"

_ROOT = select(RoleMetadata.data).where(RoleMetadata.role == "root", RoleMetadata.superseded_at.is_(None))

OnShare = Callable[[float, str], object]
"""Called with the share that is done, and what is done now."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds: `files` by their place in its folder, and `objects`, each with its SHA-256.

    `missing` are the objects that the server had lost already. The moment is the database's, from before it was read.
    """

    release: str
    revision: str
    moment: datetime
    rows: Mapping[str, int]
    files: Mapping[str, str]
    objects: tuple[str, ...]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"format": FORMAT, **asdict(self), "moment": self.moment.isoformat()}

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Read plain JSON values; raises Invalid."""
        try:
            fields = dict(value)
            if fields.pop("format") != FORMAT:
                raise Invalid("the backup is of a later release", "restore it with that release")
            lists = {name: tuple(fields.pop(name)) for name in ("objects", "missing")}
            return cls(**fields | lists | {"moment": datetime.fromisoformat(fields["moment"])})
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"that is no backup's manifest ({error})", "choose another backup") from error


def take(settings: Settings, engine: Engine, folder: Path, with_keys: bool, on_share: OnShare) -> tuple[Path, Manifest]:
    """Add a backup to a folder while servers run; returns where it is, and what it holds. Raises Conflict."""
    objects, kept = Objects(settings.objects), Objects((folder / OBJECTS).absolute().as_uri())
    with _alone(folder):
        draft = folder / DRAFT
        durable.remove(draft)  # what an interrupted backup left
        draft.mkdir(mode=0o700)
        with opened(draft / DATABASE) as copy:
            moment, rows = _copy_database(engine, copy, on_share)
            with reading(copy) as session:
                names, root = sorted(named_objects(session)), session.scalar(_ROOT)
        _copy_files(settings, draft, root, with_keys)
        missing = copy_missing(objects, kept, draft, names, part_of(on_share, 0.5, "copies objects")).lost
        files = {path.relative_to(draft).as_posix(): durable.sha256(path) for path in files_of(draft)}
        there = tuple(name for name in names if name not in set(missing))
        manifest = Manifest(version("diffserver"), migrate.latest(), moment, rows, files, there, missing)
        return _finish(draft, manifest), manifest


def part_of(on_share: OnShare, begin: float, what: str) -> OnBytes:
    """Return what tells of bytes as the rest of a share, from where it begins."""
    return lambda done, total: on_share(begin + (1 - begin) * done / max(total, 1), what)


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    """Yield the engine of a SQLite file, made if there is none; afterwards it is one file that is readable anywhere."""
    engine = connect(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def files_of(folder: Path) -> list[Path]:
    """Return all files in a folder of any depth."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; raises Conflict if another backup does."""
    durable.make_folder(folder)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another backup is being written to {folder}", "wait for it") from None
        yield


def _copy_database(engine: Engine, copy: Engine, on_share: OnShare) -> tuple[datetime, dict[str, int]]:
    """Copy all rows to a new database; returns the moment before they were read, and their numbers by table."""
    migrate.upgrade(copy)
    with one_moment(engine) as source, copy.execution_options(writes=True).begin() as target:
        moment, rows = now(Session(source)), count_rows(source)
        total = sum(rows.values())
        copy_rows(source, target, lambda copied: on_share(copied / total / 2, "copies rows"))
    return moment, rows


def _copy_files(settings: Settings, draft: Path, root: bytes | None, with_keys: bool) -> None:
    if root is not None:
        (draft / ROOT_FILE).write_bytes(root)
    if with_keys and settings.keys.is_dir():
        shutil.copytree(settings.keys, draft / KEYS)
    if with_keys and (settings.home / TOKEN_FILE).is_file():
        shutil.copy2(settings.home / TOKEN_FILE, draft / TOKEN_FILE)


def _finish(draft: Path, manifest: Manifest) -> Path:
    """Write the manifest, and give the folder its name once all of it is on the disk; raises Conflict."""
    for path in draft.rglob("*"):
        durable.sync(path)
    durable.write_file(draft / MANIFEST, json.dumps(manifest.to_json(), indent=1).encode())
    place = draft.with_name(f"{manifest.moment:%Y%m%dT%H%M%SZ}")
    if place.exists():
        raise Conflict(f"there is a backup of this second already: {place}", "try again")
    durable.rename(draft, place)
    return place
