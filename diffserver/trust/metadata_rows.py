"""Signed metadata as database rows: read what is in force, replace it, delete what is old.

Everything happens in the caller's transaction. A writer takes the lock first, so that versions have no gaps; one that
publishes takes the model's lock before it. Signing is left to `signing`.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata

from diffserver.errors import KeyMissing
from diffserver.storage.locks import exclusive
from diffserver.storage.tables import RoleMetadata
from diffserver.trust.metadata.next_metadata import RoleLookup
from diffserver.trust.metadata.roles import ROOT, TIMESTAMP

# An arbitrary number that no other lock uses.
LOCK = 0x6E747566

RETENTION = timedelta(days=7)
"""How long superseded metadata is kept, for devices and caches that still read an older snapshot."""


class Standing(NamedTuple):
    """The metadata in force, by what changes with it: the root's version, and the SHA-256 of the timestamp."""

    root: int
    timestamp: str


class CurrentMetadata:
    """The metadata in force, as one transaction sees it; each role is read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[str, Metadata[Any] | None] = {}

    def get(self, role: str) -> Metadata[Any] | None:
        """Return a role's metadata; None if it has none."""
        if role not in self._read:
            data = self._session.scalar(_in_force(role))
            self._read[role] = None if data is None else Metadata.from_bytes(data)
        return self._read[role]

    def require(self, role: str) -> Metadata[Any]:
        """Return a role's metadata; raises KeyMissing before trust is set up."""
        metadata = self.get(role)
        if metadata is None:
            raise KeyMissing(f"there is no metadata of role {role}: trust is not set up", "run: diffserver init")
        return metadata


def overlaid(changed: Mapping[str, Metadata[Any]], lookup: RoleLookup) -> RoleLookup:
    """Return a lookup that prefers the changed roles to those in force."""
    return lambda role: changed.get(role) or lookup(role)


def lock(session: Session) -> None:
    """Lock metadata against other writers until the transaction ends."""
    exclusive(session, LOCK)


def save(session: Session, changed: Mapping[str, Metadata[Any]], moment: datetime) -> None:
    """Put metadata in force and mark what it replaces as superseded."""
    for role, metadata in changed.items():
        superseded = update(RoleMetadata).where(RoleMetadata.role == role, RoleMetadata.superseded_at.is_(None))
        session.execute(superseded.values(superseded_at=moment))
        fields = {"version": metadata.signed.version, "expires": metadata.signed.expires, "created_at": moment}
        session.add(RoleMetadata(role=role, data=metadata.to_bytes(), **fields))
        session.flush()


def read(session: Session, role: str, version: int | None) -> bytes | None:
    """Return the bytes of a version, or with None of the one in force; None if there is none."""
    exact = select(RoleMetadata.data).where(RoleMetadata.role == role, RoleMetadata.version == version)
    return session.scalar(_in_force(role) if version is None else exact)


def standing(session: Session) -> Standing | None:
    """Return what stands; None before trust is set up."""
    in_force = select(RoleMetadata).where(
        RoleMetadata.role.in_((ROOT, TIMESTAMP)), RoleMetadata.superseded_at.is_(None)
    )
    rows = {row.role: row for row in session.scalars(in_force)}
    if len(rows) < 2:
        return None
    return Standing(rows[ROOT].version, hashlib.sha256(rows[TIMESTAMP].data).hexdigest())


def length(session: Session, roles: Collection[str]) -> int:
    """Return the bytes of what is in force of some roles together."""
    total = select(func.sum(func.length(RoleMetadata.data)))
    return session.scalar(total.where(RoleMetadata.role.in_(roles), RoleMetadata.superseded_at.is_(None))) or 0


def expiries(session: Session) -> Sequence[tuple[str, int, datetime]]:
    """Return role, version and expiry of all metadata in force, the first to expire first."""
    columns = (RoleMetadata.role, RoleMetadata.version, RoleMetadata.expires)
    query = select(*columns).where(RoleMetadata.superseded_at.is_(None)).order_by(RoleMetadata.expires)
    return [(row.role, row.version, row.expires) for row in session.execute(query)]


def prune(session: Session, moment: datetime) -> None:
    """Delete what was superseded long ago, but no roots, since devices follow them one by one."""
    superseded = delete(RoleMetadata).where(RoleMetadata.superseded_at < moment - RETENTION, RoleMetadata.role != ROOT)
    session.execute(superseded)


def size(session: Session) -> int:
    """Return the total bytes of the stored metadata."""
    return session.scalar(select(func.coalesce(func.sum(func.length(RoleMetadata.data)), 0))) or 0


def _in_force(role: str) -> Select[bytes]:
    return select(RoleMetadata.data).where(RoleMetadata.role == role, RoleMetadata.superseded_at.is_(None))
