"""Renewal: one replica at a time signs metadata again well before it expires.

Timestamp and snapshot are renewed every few days, yearly metadata where its keys are here. Where they are not, the
log asks for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffserver.logs import Log
from diffserver.storage import leases
from diffserver.storage.database import reading, writing
from diffserver.trust import metadata_rows
from diffserver.trust.clock import signing_time
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import holders_of
from diffserver.trust.metadata.next_metadata import expiry, is_due, least, renewed
from diffserver.trust.metadata.role_changes import Renew
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, delegator, model_of
from diffserver.trust.sign_change import apply
from diffserver.trust.signing import can_sign, enact, refresh, sign_all

LEASE = "renewal"
LEASE_SECONDS = 60.0
PASS_SECONDS = 300.0
WARN_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """The roles due for renewal, by whether their keys are here."""

    here: tuple[str, ...]
    elsewhere: tuple[str, ...]


def due(session: Session, keyring: Keyring, moment: datetime) -> Due:
    """Return the roles due for renewal at a moment."""
    roles = [role for role, _, expires in metadata_rows.expiries(session) if is_due(role, expires, moment)]
    in_force = metadata_rows.CurrentMetadata(session)
    here = tuple(
        role for role in roles if can_sign(holders_of(in_force.require(delegator(role)).signed, role), keyring)
    )
    return Due(here, tuple(role for role in roles if role not in here))


def renew(engine: Engine, keyring: Keyring, holder: str) -> Due:
    """Renew what is due unless another replica does; return the roles renewed, and those whose keys are elsewhere."""
    with reading(engine) as session:
        due_roles = due(session, keyring, signing_time(session))
    if not due_roles.here or not leases.claim(engine, LEASE, holder, LEASE_SECONDS):
        return Due((), due_roles.elsewhere)
    with writing(engine) as session:
        metadata_rows.lock(session)
        # Once more, under the lock: a publish may have renewed the roles meanwhile.
        moment = signing_time(session)
        due_roles = due(session, keyring, moment)
        _sign_again(session, keyring, due_roles.here, moment)
        metadata_rows.prune(session, moment)
    leases.release(engine, LEASE, holder)
    return due_roles


class Renewal:
    """What a server does about renewal, again and again: it renews, and asks for what it cannot, once a day."""

    def __init__(self, engine: Engine, keyring: Keyring, holder: str, log: Log) -> None:
        self._engine, self._keyring, self._holder, self._log = engine, keyring, holder, log
        self._warned: datetime | None = None

    def look(self) -> None:
        """Renew what is due, and warn of what is due elsewhere."""
        renewed_roles = renew(self._engine, self._keyring, self._holder)
        if renewed_roles.here:
            self._log.info("metadata renewed", roles=list(renewed_roles.here))
        with reading(self._engine) as session:
            moment = signing_time(session)
        if renewed_roles.elsewhere and (self._warned is None or moment - self._warned >= WARN_EVERY):
            self._warned = moment
            self._log.warning(
                "metadata expires soon, and its keys are not here; see `diffserver keys show`",
                roles=list(renewed_roles.elsewhere),
            )


def _sign_again(session: Session, keyring: Keyring, roles: Sequence[str], moment: datetime) -> None:
    in_force = metadata_rows.CurrentMetadata(session)
    lowest = {ROOT: 1, TARGETS: least(in_force.get(SNAPSHOT))}
    yearly = {
        role: renewed(in_force.require(role), expiry(role, moment), lowest[role]) for role in lowest if role in roles
    }
    if yearly:
        sign_all(yearly, in_force.get, keyring)
        enact(session, yearly, keyring, moment)
    for model in sorted({model for role in roles if (model := model_of(role))}):
        apply(session, keyring, model, Renew())
    if set(roles) <= {SNAPSHOT, TIMESTAMP} and roles:
        refresh(session, keyring, moment, SNAPSHOT in roles)
