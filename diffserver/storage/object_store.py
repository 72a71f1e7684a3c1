"""The object store: write-once blobs named by their SHA-256, in any store that obstore supports.

An object is whole before a transaction names it, and is hashed again whenever it is read as a whole. Which objects
are needed is left to the database, which also holds the payloads.
"""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from diffclient import durable
from diffclient.release.manifest import Blob
from diffserver.errors import BlobCorrupt, NotFound

CHUNK = 1 << 20


class Objects:
    """The objects under one URL: file://, s3://, gs://, az:// or, for tests, memory://."""

    def __init__(self, url: str) -> None:
        local = url.startswith("file://")
        self._store = LocalStore.from_url(url, mkdir=True) if local else from_url(url)

    def put(self, content: bytes | Path) -> Blob:
        """Store bytes, or a file's content, unless the store has them; return their blob."""
        blob = _measure(content)
        if self.length(blob.sha256) != blob.length:
            obstore.put(self._store, _key(blob.sha256), content)
            self._settle(_key(blob.sha256))
        return blob

    def length(self, sha256: str) -> int | None:
        """Return the object's length in bytes; None if there is no such object."""
        try:
            return obstore.head(self._store, _key(sha256))["size"]
        except FileNotFoundError:
            return None

    def exists(self, sha256: str) -> bool:
        """Tell whether the store has the object."""
        return self.length(sha256) is not None

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
            raise NotFound(f"there is no object {sha256}", "check the object store that is configured") from None
        return (bytes(chunk) for chunk in response.stream(min_chunk_size=CHUNK))

    def get(self, sha256: str) -> bytes:
        """Return all bytes of an object, verified; raises NotFound, BlobCorrupt."""
        data = b"".join(self.stream(sha256))
        _verify(hashlib.sha256(data).hexdigest(), sha256)
        return data

    def download(self, sha256: str, path: Path) -> Path:
        """Write an object to a file that appears only once it is verified; raises NotFound, BlobCorrupt."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        digest = hashlib.sha256()
        chunks = self.stream(sha256)
        try:
            with draft.open("xb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            _verify(digest.hexdigest(), sha256)
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


def _key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


def _measure(content: bytes | Path) -> Blob:
    if isinstance(content, bytes):
        return Blob(hashlib.sha256(content).hexdigest(), len(content))
    return Blob(durable.sha256(content), durable.size(content))


def _verify(actual: str, expected: str) -> None:
    if actual != expected:
        raise BlobCorrupt(f"object {expected} holds other bytes ({actual})", "restore it from a backup")
