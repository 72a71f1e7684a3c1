"""Signed metadata as rows: what is in force, what replaces it, what is old enough to go.

Everything happens in the caller's transaction. Whoever writes takes the one lock first, so that versions follow
each other without a gap, and after the model's own if it publishes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata

from diffserver.errors import KeyMissing
from diffserver.storage.database import exclusive
from diffserver.storage.tables import RoleMetadata
from diffserver.trust.metadata.next_metadata import Look
from diffserver.trust.metadata.roles import ROOT

# Any number that no one else locks on.
LOCK = 0x6E747566

KEPT = timedelta(days=7)
"""How long superseded metadata stays, for devices and caches that are half-way through an older snapshot."""


class Book:
    """The metadata that is in force, as one transaction sees it; each role is read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[str, Metadata[Any] | None] = {}

    def look(self, role: str) -> Metadata[Any] | None:
        """A role's metadata; None if it has none."""
        if role not in self._read:
            data = self._session.scalar(_in_force(role))
            self._read[role] = None if data is None else Metadata.from_bytes(data)
        return self._read[role]

    def need(self, role: str) -> Metadata[Any]:
        """A role's metadata; raises KeyMissing before the first root is made."""
        found = self.look(role)
        if found is None:
            raise KeyMissing(f"there is no metadata of role {role}: trust is not set up", "run: diffserver init")
        return found


def overlaid(changed: Mapping[str, Metadata[Any]], look: Look) -> Look:
    """Look at what is to be in force: the changed roles, and the others as they are."""
    return lambda role: changed.get(role) or look(role)


def lock(session: Session) -> None:
    """Wait for whoever writes metadata at this moment, and keep others waiting until the transaction ends."""
    exclusive(session, LOCK)


def save(session: Session, changed: Mapping[str, Metadata[Any]], moment: datetime) -> None:
    """Put metadata in force in place of what was."""
    for role, metadata in changed.items():
        superseded = update(RoleMetadata).where(RoleMetadata.role == role, RoleMetadata.superseded_at.is_(None))
        session.execute(superseded.values(superseded_at=moment))
        found = {"version": metadata.signed.version, "expires": metadata.signed.expires, "created_at": moment}
        session.add(RoleMetadata(role=role, data=metadata.to_bytes(), **found))
        session.flush()


def read(session: Session, role: str, version: int | None) -> bytes | None:
    """The bytes of a version, or of the one in force; None if there is none."""
    exact = select(RoleMetadata.data).where(RoleMetadata.role == role, RoleMetadata.version == version)
    return session.scalar(_in_force(role) if version is None else exact)


def expiries(session: Session) -> Sequence[tuple[str, int, datetime]]:
    """Role, version and expiry of all that is in force, the first to expire first."""
    columns = (RoleMetadata.role, RoleMetadata.version, RoleMetadata.expires)
    found = select(*columns).where(RoleMetadata.superseded_at.is_(None)).order_by(RoleMetadata.expires)
    return [(row.role, row.version, row.expires) for row in session.execute(found)]


def prune(session: Session, moment: datetime) -> None:
    """Drop what was superseded long ago; roots stay, as devices walk from one to the next."""
    old = delete(RoleMetadata).where(RoleMetadata.superseded_at < moment - KEPT, RoleMetadata.role != ROOT)
    session.execute(old)


def size(session: Session) -> int:
    """The bytes of all metadata that is kept."""
    return session.scalar(select(func.coalesce(func.sum(func.length(RoleMetadata.data)), 0))) or 0


def _in_force(role: str) -> Select[bytes]:
    return select(RoleMetadata.data).where(RoleMetadata.role == role, RoleMetadata.superseded_at.is_(None))
