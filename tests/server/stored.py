"""What lies in a store of any kind, changed past the rules, as another program or a broken disk might."""

from __future__ import annotations

import obstore

from diffserver.storage.object_store import Objects


def place(sha256: str) -> str:
    """Where a store has an object."""
    return f"sha256/{sha256[:2]}/{sha256}"


def write(objects: Objects, where: str, data: bytes) -> None:
    obstore.put(objects._store, where, data)


def empty(objects: Objects, sha256: str) -> None:
    write(objects, place(sha256), b"")


def spoil(objects: Objects, sha256: str) -> None:
    """Alter an object's first bits."""
    data = b"".join(objects.stream(sha256))
    write(objects, place(sha256), bytes([data[0] ^ 1]) + data[1:])


def cut(objects: Objects, sha256: str) -> None:
    """Leave its last byte out."""
    write(objects, place(sha256), b"".join(objects.stream(sha256))[:-1])
