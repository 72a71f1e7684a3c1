"""The object store: write-once blobs named by their SHA-256, in any store that obstore supports.

An object is whole before a transaction names it, and is hashed again whenever it is read as a whole. Which objects
are needed is left to the database, which also holds the payloads.
"""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from diffclient import durable
from diffclient.release.manifest import Blob
from diffserver.errors import BlobCorrupt, NotFound

CHUNK = 1 << 20
FOLDER = "sha256"


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it, unread; `tag` changes whenever it is written."""

    sha256: str
    length: int
    modified: datetime
    tag: str | None


class Objects:
    """The objects under one URL: file://, s3://, gs://, az:// or, for tests, memory://."""

    def __init__(self, url: str) -> None:
        local = url.startswith("file://")
        self._store = LocalStore.from_url(url, mkdir=True) if local else from_url(url)

    def put(self, content: bytes | Path) -> Blob:
        """Store bytes, or a file's content, and return their blob.

        An object that is there already is replaced in one move: it may be damaged, and its age has to begin anew.
        """
        blob = _measure(content)
        obstore.put(self._store, _key(blob.sha256), content)
        self._settle(_key(blob.sha256))
        return blob

    def copy(self, other: "Objects", sha256: str, work: Path) -> None:
        """Store an object of another store, verified, by way of a file in a folder; raises NotFound, BlobCorrupt."""
        path = other.download(sha256, work / sha256)
        try:
            self.put(path)
        finally:
            path.unlink()

    def find(self, sha256: str) -> Stored | None:
        """Return the object as the store lists it; None if there is no such object."""
        try:
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

    def stream(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop`, about 1 MiB at a time; raises NotFound at once.

        The bytes are not verified, since a part can't be; the reader of all parts verifies them.
        """
        try:
            end = obstore.head(self._store, _key(sha256))["size"] if stop is None else stop
            if start >= end:
                return iter(())
            response = obstore.get(self._store, _key(sha256), options={"range": (start, end)})
        except FileNotFoundError:
            raise NotFound(f"there is no object {sha256}", "run: diffserver verify") from None
        return (bytes(chunk) for chunk in response.stream(min_chunk_size=CHUNK))

    def get(self, sha256: str) -> bytes:
        """Return all bytes of an object, verified; raises NotFound, BlobCorrupt."""
        return b"".join(verified(self.stream(sha256), sha256))

    def download(self, sha256: str, path: Path) -> Path:
        """Write an object to a file that appears only once it is verified; raises NotFound, BlobCorrupt."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        chunks = verified(self.stream(sha256), sha256)
        try:
            with draft.open("xb") as file:
                file.writelines(chunks)
            return draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def writable(self) -> bool:
        """Tell whether an object can be written and removed at this moment."""
        key = f"ready/{secrets.token_hex(8)}"
        try:
            obstore.put(self._store, key, b"ready")
            obstore.delete(self._store, key)
        except (BaseError, OSError):
            return False
        return True

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


def _key(sha256: str) -> str:
    return f"{FOLDER}/{sha256[:2]}/{sha256}"


def _stored(entry: Any) -> Stored:
    name = entry["path"].rpartition("/")[2]
    return Stored(name, entry["size"], entry["last_modified"], entry["e_tag"])


def _measure(content: bytes | Path) -> Blob:
    if isinstance(content, bytes):
        return Blob(hashlib.sha256(content).hexdigest(), len(content))
    return Blob(durable.sha256(content), durable.size(content))
