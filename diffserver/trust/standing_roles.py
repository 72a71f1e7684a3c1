"""The roles whose metadata is in force: until when, whose keys sign for them, and which of these are here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import holders_of
from diffserver.trust.metadata.next_metadata import is_due
from diffserver.trust.metadata.roles import delegator, model_of


@dataclass(frozen=True)
class RoleKey:
    """A public key, and whether its private half is here."""

    keyid: str
    type: str
    here: bool


@dataclass(frozen=True)
class StandingRole:
    """A role, its metadata's version and expiry, and the keys of which a threshold must sign."""

    role: str
    version: int
    expires: datetime
    due: bool
    """Whether it is time to sign it again."""
    threshold: int
    keys: tuple[RoleKey, ...]

    @property
    def model(self) -> str | None:
        """The model that it belongs to; None for top-level roles."""
        return model_of(self.role)

    @property
    def signs_here(self) -> bool:
        """Whether enough of the keys are here."""
        return sum(key.here for key in self.keys) >= self.threshold


def standing_roles(session: Session, keyring: Keyring, moment: datetime) -> Iterator[StandingRole]:
    """Return all roles as they stand at a moment, the first to expire first."""
    in_force = metadata_rows.CurrentMetadata(session)
    held = {file.public.keyid for file in keyring.files()}
    for role, version, expires in metadata_rows.expiries(session):
        holders = holders_of(in_force.require(delegator(role)).signed, role)
        if holders is not None:
            keys = tuple(RoleKey(key.keyid, key.keytype, key.keyid in held) for key in holders.keys)
            yield StandingRole(role, version, expires, is_due(role, expires, moment), holders.threshold, keys)
