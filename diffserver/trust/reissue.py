"""Sign again after a restored backup, so that devices which saw newer metadata accept the server.

Nobody knows what was signed after the backup, but it can't have been more than one thing a second for long. Versions go
on beyond that. A model whose key is elsewhere waits for its operator, and stops no other model's devices.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata

from diffserver.catalog import versions
from diffserver.catalog.lost_versions import leave_room
from diffserver.storage.tables import Model
from diffserver.trust import metadata_rows, releases
from diffserver.trust.clock import signing_time
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of
from diffserver.trust.metadata.next_metadata import expiry, least, next_timestamp, renewed
from diffserver.trust.metadata.restored import possible_roles, promise
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, delegator
from diffserver.trust.metadata_rows import CurrentMetadata
from diffserver.trust.sign_change import changed_by
from diffserver.trust.signing import can_sign, enact, put_online, sign

MARGIN = 1000
"""Versions beyond one a second."""


@dataclass(frozen=True)
class Reissued:
    """The least version of what was signed, the next number of each model, and the roles whose keys are elsewhere."""

    least: int
    next_numbers: Mapping[str, int]
    elsewhere: tuple[str, ...]


def reissue(session: Session, keyring: Keyring, since: datetime) -> Reissued:
    """Sign what the keys here can, by versions above all that may have been signed since a moment.

    Devices are permitted to go back from lost versions. Raises KeyMissing without the online key, ClockBehind.
    """
    metadata_rows.lock(session)
    moment = signing_time(session)
    elapsed = max(moment - since, timedelta())
    published = [model for model in session.scalars(select(Model)) if versions.head(session, model.name)]
    numbers = {model.name: leave_room(session, model, elapsed) for model in published}
    lowest = _promise(session, keyring, numbers, elapsed, moment)
    changed, elsewhere = _sign(session, keyring, [TARGETS, *numbers], moment)
    enact(session, changed, keyring, moment)
    return Reissued(lowest, numbers, elsewhere)


def _promise(
    session: Session, keyring: Keyring, numbers: Mapping[str, int], elapsed: timedelta, moment: datetime
) -> int:
    """Put a snapshot in force that names all roles that there may have been, but targets, by a version above theirs."""
    in_force = CurrentMetadata(session)
    highest = max(version for role, version, _ in metadata_rows.expiries(session) if role != ROOT)
    lowest = highest + int(elapsed.total_seconds()) + MARGIN
    snapshot = in_force.require(SNAPSHOT)
    known = {file.removesuffix(".json") for file in snapshot.signed.meta} - {TARGETS}
    roles = known.union(*(possible_roles(model, number) for model, number in numbers.items()))
    promised = promise(snapshot, roles, lowest, expiry(SNAPSHOT, moment))
    timestamp = next_timestamp(in_force.require(TIMESTAMP), promised, expiry(TIMESTAMP, moment))
    put_online(session, {SNAPSHOT: promised, TIMESTAMP: timestamp}, keyring, moment)
    return lowest


def _sign(
    session: Session, keyring: Keyring, roles: Iterable[str], moment: datetime
) -> tuple[dict[str, Metadata[Any]], tuple[str, ...]]:
    """Return new metadata of targets and models, signed, and those of these roles whose keys are elsewhere."""
    in_force, elsewhere = CurrentMetadata(session), []
    changed: dict[str, Metadata[Any]] = {}
    for role in roles:
        holders = holders_of(in_force.require(delegator(role)).signed, role)
        if holders is None or not can_sign(holders, keyring):
            elsewhere.append(role)
            continue
        signed = _again(session, in_force, role, holders, expiry(role, moment))
        for metadata in signed.values():
            sign(metadata, holders, keyring)
        changed |= signed
    return changed, tuple(elsewhere)


def _again(
    session: Session, in_force: CurrentMetadata, role: str, holders: Holders, expires: datetime
) -> dict[str, Metadata[Any]]:
    if role == TARGETS:
        return {TARGETS: renewed(in_force.require(TARGETS), expires, least(in_force.get(SNAPSHOT)))}
    return changed_by(releases.restored(session, role), role, holders, in_force.get, expires)
