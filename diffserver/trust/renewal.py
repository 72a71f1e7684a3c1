"""Renewal: metadata is signed again well before it expires, by one replica at a time, with the keys that are here.

Timestamp and snapshot every few days; what lives a year too, where its keys are here. Keys that are elsewhere are
asked for in the log.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from diffserver.errors import DiffServerError
from diffserver.logs import Log
from diffserver.storage import leases
from diffserver.storage.database import now, reading, writing
from diffserver.trust import metadata_rows
from diffserver.trust.clock import signing_time
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import holders_of
from diffserver.trust.metadata.next_metadata import expiry, is_due, renewed
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
    """The roles that are to be signed again: with keys that are here, and with keys that are not."""

    here: tuple[str, ...]
    elsewhere: tuple[str, ...]


def due(session: Session, keyring: Keyring, moment: datetime) -> Due:
    """What is to be signed again at a moment."""
    roles = [role for role, _, expires in metadata_rows.expiries(session) if is_due(role, expires, moment)]
    book = metadata_rows.Book(session)
    here = tuple(role for role in roles if can_sign(holders_of(book.need(delegator(role)).signed, role), keyring))
    return Due(here, tuple(role for role in roles if role not in here))


def renew(engine: Engine, keyring: Keyring, holder: str) -> Due:
    """Sign again what is due, unless another replica is at it; returns what was, and what is due elsewhere."""
    with reading(engine) as session:
        found = due(session, keyring, signing_time(session))
    if not found.here or not leases.claim(engine, LEASE, holder, LEASE_SECONDS):
        return Due((), found.elsewhere)
    with writing(engine) as session:
        metadata_rows.lock(session)
        # Once more, under the lock: a publish may have signed it all meanwhile.
        moment = signing_time(session)
        found = due(session, keyring, moment)
        _sign_again(session, keyring, found.here, moment)
        metadata_rows.prune(session, moment)
    leases.release(engine, LEASE, holder)
    return found


class Renewal:
    """A thread that renews for as long as a server runs."""

    def __init__(self, engine: Engine, keyring: Keyring, holder: str, log: Log) -> None:
        self._engine, self._keyring, self._holder, self._log = engine, keyring, holder, log
        self._stopped = threading.Event()
        self._warned: datetime | None = None
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin, with a first pass at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the pass at hand."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._pass()
            except (SQLAlchemyError, DiffServerError) as error:  # the database or a KMS may come back
                self._log.warning("metadata was not renewed", error=str(error))
            if self._stopped.wait(PASS_SECONDS):
                return

    def _pass(self) -> None:
        found = renew(self._engine, self._keyring, self._holder)
        if found.here:
            self._log.info("metadata renewed", roles=list(found.here))
        with reading(self._engine) as session:
            moment = now(session)
        if found.elsewhere and (self._warned is None or moment - self._warned >= WARN_EVERY):
            self._warned = moment
            self._log.warning(
                "metadata expires soon, and its keys are not here; see `diffserver keys show`",
                roles=list(found.elsewhere),
            )


def _sign_again(session: Session, keyring: Keyring, roles: Sequence[str], moment: datetime) -> None:
    book = metadata_rows.Book(session)
    yearly = {role: renewed(book.need(role), expiry(role, moment)) for role in roles if role in (ROOT, TARGETS)}
    if yearly:
        sign_all(yearly, book.look, keyring)
        enact(session, yearly, keyring, moment)
    for model in sorted({model for role in roles if (model := model_of(role))}):
        apply(session, keyring, model, Renew())
    if set(roles) <= {SNAPSHOT, TIMESTAMP} and roles:
        refresh(session, keyring, moment, SNAPSHOT in roles)
