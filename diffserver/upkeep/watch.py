"""A server's own watch over its bytes: damage as it reads, objects that are missing, a store that is missing.

Each finding is logged once, and counted in the answer about health. Reading everything is left to `diffserver verify`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Engine, func, select, tuple_

from diffserver.errors import BlobCorrupt
from diffserver.logs import Log
from diffserver.storage.database import reading
from diffserver.storage.fresh import Fresh
from diffserver.storage.object_store import Objects, verified
from diffserver.storage.tables import Version
from diffserver.upkeep.named_bytes import Named, all_named, objects_of

FRESH_SECONDS = 5.0
"""For so long the store is not asked again."""

ROW_SECONDS = 60.0
"""For so long a payload that was read damaged is not read again; an object is once it was written again."""

LATEST = 20
"""Of so many models, those that published last, the latest version's objects are looked for."""


@dataclass(frozen=True)
class ObjectState:
    """Whether objects can be written, and how many are known to be missing or damaged of those that matter.

    Of a store that can't be written to nothing else is known: it may not answer at all.
    """

    writable: bool
    expected: int = 0
    missing: tuple[Named, ...] = ()
    damaged: int = 0

    @property
    def lost(self) -> bool:
        """Whether nothing at all is there of what should be: another store, or an empty one."""
        return self.expected > 0 and len(self.missing) == self.expected


@dataclass(frozen=True)
class _Seen:
    """Damage as it was read: of an object with a tag, of a row until a time."""

    tag: str | None
    until: float


class ObjectWatch:
    """One process's knowledge of the bytes that it serves."""

    def __init__(self, engine: Engine, objects: Objects, log: Log, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._engine, self._objects, self._log = engine, objects, log
        self._damaged: dict[str, _Seen] = {}
        self._logged: set[str] = set()
        self._state = Fresh(self._look, fresh_seconds)
        self._names = Fresh(self._read_names, fresh_seconds)

    def checked(self, pieces: Iterator[bytes], sha256: str, tag: str | None) -> Iterator[bytes]:
        """Yield all bytes of a blob but for the last piece if they are not those of its name; raises BlobCorrupt.

        `tag` is that of the object; None for a payload.
        """
        try:
            yield from verified(pieces, sha256)
        except BlobCorrupt as error:
            self._damaged[sha256] = _Seen(tag, time.monotonic() + ROW_SECONDS)
            self._tell(sha256, "damaged", error.detail)
            raise

    def is_damaged(self, sha256: str, tag: str | None) -> bool:
        """Tell whether a blob was read damaged and is, as far as can be known, still the same."""
        seen = self._damaged.get(sha256)
        if seen is None:
            return False
        if seen.tag == tag and (tag is not None or time.monotonic() < seen.until):
            return True
        self._damaged.pop(sha256, None)
        self._logged.discard(sha256)
        return False

    def name_of(self, sha256: str) -> str | None:
        """Return what rows call a blob, as of a few seconds ago; None if none names it."""
        return self._names.get().get(sha256)

    def state(self) -> ObjectState:
        """Return the state, as of a few seconds ago."""
        return self._state.get()

    def _read_names(self) -> dict[str, str | None]:
        with reading(self._engine) as session:
            return {item.sha256: item.what for item in all_named(session)}

    def _look(self) -> ObjectState:
        if not self._objects.writable():
            return ObjectState(writable=False)
        expected = self._expected()
        stored = {item.sha256: self._objects.find(item.sha256) for item in expected}
        missing = tuple(item for item in expected if stored[item.sha256] is None)
        for item in missing:
            self._tell(item.sha256, "missing", f"{item.what} is not in the object store")
        for item in expected:
            if stored[item.sha256] is not None and item.sha256 not in self._damaged:
                self._logged.discard(item.sha256)
        damaged = [sha256 for sha256 in list(self._damaged) if self.is_damaged(sha256, self._tag(sha256))]
        return ObjectState(True, len(expected), missing, len(damaged))

    def _expected(self) -> list[Named]:
        latest = select(Version.model, func.max(Version.number)).group_by(Version.model)
        query = select(Version).where(tuple_(Version.model, Version.number).in_(latest))
        with reading(self._engine) as session:
            versions = session.scalars(query.order_by(Version.id.desc()).limit(LATEST)).all()
        items = chain.from_iterable(map(_objects_of, versions))
        return list({item.sha256: item for item in items}.values())

    def _tag(self, sha256: str) -> str | None:
        seen = self._damaged[sha256]
        stored = None if seen.tag is None else self._objects.find(sha256)
        return None if stored is None else stored.tag

    def _tell(self, sha256: str, what: str, detail: str) -> None:
        if sha256 not in self._logged:
            self._logged.add(sha256)
            self._log.error(f"object {what}", object=sha256, detail=detail, remedy="run: diffserver verify --repair")


def _objects_of(version: Version) -> Iterator[Named]:
    what, snapshot = f"version {version.number} of {version.model}", version.candidate.snapshot
    yield Named(snapshot.sha256, snapshot.length, f"snapshot of {what}")
    yield from objects_of(version.candidate.manifest, what)
