"""The object store: write-once blobs named by their SHA-256, in any store that obstore supports.

An object is whole before a transaction names it, and is hashed again whenever it is read as a whole. Which objects
are needed is left to the database, which also holds the payloads.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from diffclient import durable
from diffclient.release.manifest import Blob
from diffserver.errors import BlobCorrupt, Invalid, NotFound, Unavailable
from diffserver.storage.store_errors import REMEDY, reason

CHUNK, PART = 1 << 20, 8 << 20
"""Bytes that are asked for at once: for a reader who may be slow, and to read all of an object here."""

UPLOADS = 4
"""Parts of one large object that are sent at once, of 5 MiB each."""

PATIENT, AT_ONCE = timedelta(minutes=3), timedelta(seconds=3)
"""For so long a store that fails is asked again: by who has something to lose, and by who is waited for."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=5)
"""Between two tries, about: each pause is drawn by chance, and they grow."""

MOST_TRIES = 10_000
"""More than there is time for: obstore's own ten are over within seconds where connections are refused."""

READERS, TURN_SECONDS = 20, 2.0
"""Reads at once of a store that is elsewhere, for who is waited for, and how long the next one waits for its turn.

A store that takes connections and answers nothing would hold each of a server's threads for half a minute.
"""

SIGNED_FOR = timedelta(minutes=5)
"""For so long a download may begin at a signed URL; one that has begun goes on."""

FOLDER = "sha256"


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it, unread.

    `tag` changes when other bytes are written, and when the same are in another second.
    """

    sha256: str
    length: int
    modified: datetime = field(compare=False)  # some stores list it finer than they tell of one object
    tag: str


class Objects:
    """The objects under one URL: file://, s3://, gs://, az:// or, for tests, memory://.

    One that is elsewhere and fails is asked again for so long as `patience` says.
    """

    def __init__(self, url: str, patience: timedelta = PATIENT) -> None:
        local = url.startswith("file://")
        self._turns = None if local or patience > AT_ONCE else BoundedSemaphore(READERS)
        try:
            self._store = LocalStore.from_url(url, mkdir=True) if local else _remote(url, patience)
        except BaseError as error:
            raise Invalid(f"{url} can't be opened: {reason(error)}", REMEDY) from error

    def put(self, content: bytes | Path) -> Blob:
        """Store bytes, or a file's content, and return their blob.

        An object that is there already is replaced in one move: it may be damaged, and its age has to begin anew.
        Raises Unavailable.
        """
        blob = _measure(content)
        try:
            obstore.put(self._store, _key(blob.sha256), content, max_concurrency=UPLOADS)
        except FileNotFoundError as error:
            raise Unavailable(
                "the object store has no such bucket or container", "make it, or correct its URL"
            ) from error
        self._settle(_key(blob.sha256))
        return blob

    def find(self, sha256: str) -> Stored | None:
        """Return the object as the store lists it; None if there is no such object. Raises Unavailable."""
        try:
            with self._turn():
                return _stored(obstore.head(self._store, _key(sha256)))
        except FileNotFoundError:
            return None

    def exists(self, sha256: str) -> bool:
        """Tell whether the store has the object."""
        return self.find(sha256) is not None

    def list_all(self) -> Iterator[Stored]:
        """Yield all objects, in no order, and nothing else that lies in the store."""
        for entries in obstore.list(self._store, FOLDER):
            pairs = zip(map(_stored, entries), entries, strict=True)
            yield from (stored for stored, entry in pairs if _key(stored.sha256) == entry["path"])

    def remove(self, sha256: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            obstore.delete(self._store, _key(sha256))

    def unfinished(self, before: datetime) -> list[Path]:
        """Return files that a process which died left half-written before a moment; only folders have any."""
        if not isinstance(self._store, LocalStore) or self._store.prefix is None:
            return []
        drafts = (Path(self._store.prefix) / FOLDER).glob("*/*#*")
        return [path for path in drafts if path.stat().st_mtime < before.timestamp()]

    def stream(self, sha256: str, start: int = 0, stop: int | None = None, part: int = CHUNK) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop`, `part` of them at a time; raises NotFound at once.

        Each part is a request that is over before the part is read: a slow reader holds no connection to the store,
        whose time-outs would cut it. Parts are not verified, since they can't be; the reader of all verifies them.
        """
        end = self._length(sha256) if stop is None else stop
        parts = (self._part(sha256, place, min(place + part, end)) for place in range(start, end, part))
        return chain(list(islice(parts, 1)), parts)

    def all_of(self, sha256: str) -> Iterator[bytes]:
        """Yield all bytes of an object, verified; raises NotFound, BlobCorrupt."""
        return verified(self.stream(sha256, part=PART), sha256)

    def get(self, sha256: str) -> bytes:
        """Return all bytes of an object, verified; raises NotFound, BlobCorrupt."""
        return b"".join(self.all_of(sha256))

    def check(self, sha256: str) -> None:
        """Read all of an object; raises NotFound, BlobCorrupt."""
        for _piece in self.all_of(sha256):
            pass

    def download(self, sha256: str, path: Path) -> Path:
        """Write an object to a file that appears only once it is verified; raises NotFound, BlobCorrupt."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        pieces = self.all_of(sha256)
        try:
            with draft.open("xb") as file:
                file.writelines(pieces)
            return draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def signed_url(self, sha256: str) -> str:
        """Return a URL at the store itself by which anyone may download an object for a while."""
        return obstore.sign(self._store, "GET", _key(sha256), SIGNED_FOR)  # type: ignore[call-overload, no-any-return]

    def writable(self) -> bool:
        """Tell whether an object can be written and removed at this moment."""
        key = f"ready/{secrets.token_hex(8)}"
        try:
            obstore.put(self._store, key, b"ready")
            obstore.delete(self._store, key)
        except (BaseError, OSError):
            return False
        return True

    def _length(self, sha256: str) -> int:
        found = self.find(sha256)
        if found is None:
            raise _missing(sha256)
        return found.length

    def _part(self, sha256: str, start: int, stop: int) -> bytes:
        try:
            with self._turn():
                return bytes(obstore.get_range(self._store, _key(sha256), start=start, end=stop))
        except FileNotFoundError:
            raise _missing(sha256) from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Read the store in the block, as one of a few at once; raises Unavailable if these take too long."""
        if self._turns is None:
            yield
            return
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise Unavailable(f"the object store is slow: {READERS} requests wait for it", "try again in a while")
        try:
            yield
        finally:
            self._turns.release()

    def _settle(self, key: str) -> None:
        # A local store renames without syncing: a power cut could leave the name without the bytes.
        if not isinstance(self._store, LocalStore) or self._store.prefix is None:
            return
        path = Path(self._store.prefix) / key
        for folder in (path, path.parent, path.parent.parent):
            durable.sync(folder)


def verified(pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    """Yield all bytes of a blob, the last piece only once they are known to be those of its name.

    Raises BlobCorrupt in place of it.
    """
    digest, held = hashlib.sha256(), b""
    for piece in pieces:
        digest.update(piece)
        if held:
            yield held
        held = piece
    if digest.hexdigest() != sha256:
        raise BlobCorrupt(
            f"object {sha256} holds other bytes ({digest.hexdigest()})", "run: diffserver verify --repair"
        )
    if held:
        yield held


def _remote(url: str, patience: timedelta) -> Any:
    if url.startswith("memory:"):
        return from_url(url)
    return from_url(
        url,
        retry_config={
            "retry_timeout": patience,
            "max_retries": MOST_TRIES,
            "backoff": {"init_backoff": FIRST_PAUSE, "max_backoff": LONGEST_PAUSE},
        },
    )


def _key(sha256: str) -> str:
    return f"{FOLDER}/{sha256[:2]}/{sha256}"


def _stored(entry: Any) -> Stored:
    name, modified = entry["path"].rpartition("/")[2], entry["last_modified"]
    # At S3 the ETag is a digest of the bytes, which says nothing of when they were written; Azure lists it unquoted.
    etag = (entry["e_tag"] or "").strip('"')
    return Stored(name, entry["size"], modified, f"{etag} {modified:%Y%m%dT%H%M%S}")


def _missing(sha256: str) -> NotFound:
    return NotFound(f"there is no object {sha256}", "run: diffserver verify")


def _measure(content: bytes | Path) -> Blob:
    if isinstance(content, bytes):
        return Blob(hashlib.sha256(content).hexdigest(), len(content))
    return Blob(durable.sha256(content), durable.size(content))
