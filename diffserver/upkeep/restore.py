"""Restore a backup: check every byte, bring its rows to this release, and put them in the place of none or all.

Between `staged` and `put_in_place`, `trust.reissue` signs again, for devices that have seen a newer state.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from diffclient import durable
from diffserver.errors import BlobCorrupt, Conflict, Invalid, NotFound
from diffserver.settings import TOKEN_FILE, Settings
from diffserver.storage import migrate
from diffserver.storage.copy_objects import copy_missing
from diffserver.storage.copy_rows import clear, copy_rows, count_rows, one_moment
from diffserver.storage.object_store import Objects
from diffserver.upkeep.backup import DATABASE, KEYS, MANIFEST, OBJECTS, Manifest, OnShare, opened, part_of


@dataclass(frozen=True)
class Backup:
    """A backup's folder, and what it holds."""

    folder: Path
    manifest: Manifest

    @property
    def objects(self) -> Objects:
        """The objects of all backups beside it."""
        return Objects((self.folder.parent / OBJECTS).as_uri())


def find(place: Path) -> Backup:
    """Return the backup in a folder, or the latest of those in it; raises NotFound, Invalid."""
    manifests = [place / MANIFEST, *sorted(place.glob(f"[0-9]*/{MANIFEST}"), reverse=True)]
    folder = next((path.parent.absolute() for path in manifests if path.is_file()), None)
    if folder is None:
        raise NotFound(f"there is no backup in {place}", "give the folder that `diffserver backup` was given")
    try:
        return Backup(folder, Manifest.from_json(json.loads((folder / MANIFEST).read_bytes())))
    except ValueError as error:
        raise Invalid(f"{folder / MANIFEST} is damaged ({error})", "choose another backup") from error


def check(backup: Backup, on_share: OnShare) -> None:
    """Read all of a backup; raises BlobCorrupt, NotFound if it is not what its manifest says."""
    manifest = backup.manifest
    for name, sha256 in manifest.files.items():
        path = backup.folder / name
        if not path.is_file():
            raise NotFound(f"the backup lacks {path}", "choose another backup")
        if durable.sha256(path) != sha256:
            raise BlobCorrupt(f"{path} is not what was backed up", "choose another backup")
    for number, name in enumerate(manifest.objects):
        on_share(number / len(manifest.objects), "checks objects")
        backup.objects.check(name)


def require_empty(engine: Engine) -> None:
    """Raise Conflict if a database has rows; its tables are made."""
    migrate.upgrade(engine)
    with engine.connect() as connection:
        if any(count_rows(connection).values()):
            raise Conflict(
                f"the database {engine.url.render_as_string()} is not empty",
                "restore into a new home or database, or pass --replace to remove all that is there",
            )


def put_files(backup: Backup, settings: Settings) -> None:
    """Put keys and token, if the backup has them, where they belong; raises Conflict if others are there."""
    keys = [name for name in backup.manifest.files if name.startswith(f"{KEYS}/")]
    places = {backup.folder / name: settings.keys / Path(name).relative_to(KEYS) for name in keys}
    if TOKEN_FILE in backup.manifest.files:
        places[backup.folder / TOKEN_FILE] = settings.home / TOKEN_FILE
    for source, place in places.items():
        if place.exists() and place.read_bytes() != source.read_bytes():
            raise Conflict(f"{place} is another file than the backup's", "move it away, or restore into a new home")
    for source, place in places.items():
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            durable.create_file(place, source.read_bytes(), durable.PRIVATE)


@contextmanager
def staged(backup: Backup, home: Path) -> Iterator[Engine]:
    """Yield a copy of a backup's database with this release's tables; raises DatabaseTooNew."""
    with tempfile.TemporaryDirectory(prefix="restore-", dir=home) as folder:
        path = Path(folder) / DATABASE
        shutil.copyfile(backup.folder / DATABASE, path)
        with opened(path) as engine:
            migrate.upgrade(engine)
            yield engine


def put_objects(backup: Backup, objects: Objects, home: Path, on_share: OnShare) -> None:
    """Store the objects that are not there yet; raises BlobCorrupt if one can't be read any more."""
    with tempfile.TemporaryDirectory(prefix="restore-", dir=home) as work:
        names, on_bytes = backup.manifest.objects, part_of(on_share, 0.0, "puts objects")
        lost = copy_missing(backup.objects, objects, Path(work), names, on_bytes).lost
    if lost:
        raise BlobCorrupt(f"object {lost[0]} of the backup was damaged meanwhile", "choose another backup")


def put_in_place(stage: Engine, engine: Engine, replace: bool, on_share: OnShare) -> int:
    """Copy all rows into a database in one transaction, in place of what is there if so told; returns how many."""
    migrate.upgrade(engine)
    with one_moment(stage) as source, engine.execution_options(writes=True).begin() as target:
        if replace:
            clear(target)
        total = sum(count_rows(source).values())
        copy_rows(source, target, lambda copied: on_share(copied / total, "puts rows"))
    return total
