"""Sign metadata with the keys that are here, and put signed metadata in force."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata

from diffserver.errors import KeyMissing
from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of
from diffserver.trust.metadata.next_metadata import RoleLookup, expiry, next_snapshot, next_timestamp, require_signed
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TIMESTAMP, delegator


def sign(metadata: Metadata[Any], holders: Holders, keyring: Keyring) -> None:
    """Add signatures by the keys here, up to the threshold; raises KeyMissing if a key does not sign."""
    for file in keyring.held(holders.keys)[: holders.threshold]:
        try:
            metadata.sign(file.signer(), append=True)
        except UnsignedMetadataError as error:
            raise KeyMissing(f"key {file.name} does not sign: {error}", f"check what {file.uri} names") from error


def can_sign(holders: Holders | None, keyring: Keyring) -> bool:
    """Tell whether enough of the holders' keys are here."""
    return holders is not None and len(keyring.held(holders.keys)) >= holders.threshold


def sign_all(changed: Mapping[str, Metadata[Any]], lookup: RoleLookup, keyring: Keyring) -> None:
    """Sign each role by the holders that it has once the changes are in force."""
    lookup = metadata_rows.overlaid(changed, lookup)
    for role, metadata in changed.items():
        above = lookup(delegator(role))
        if above and (holders := holders_of(above.signed, role)):
            sign(metadata, holders, keyring)


def enact(session: Session, changed: Mapping[str, Metadata[Any]], keyring: Keyring, moment: datetime) -> None:
    """Put signed metadata in force, together with a new snapshot and timestamp signed here.

    The caller holds the lock. Raises BadSignature, KeyMissing.
    """
    in_force = metadata_rows.CurrentMetadata(session)
    lookup = metadata_rows.overlaid(changed, in_force.get)
    root = in_force.get(ROOT)
    require_signed(changed, lookup, root.signed if root else None)
    named = {role: metadata for role, metadata in changed.items() if role != ROOT}
    snapshot = next_snapshot(in_force.get(SNAPSHOT), named, expiry(SNAPSHOT, moment))
    timestamp = next_timestamp(in_force.get(TIMESTAMP), snapshot, expiry(TIMESTAMP, moment))
    online = _signed_online({SNAPSHOT: snapshot, TIMESTAMP: timestamp}, lookup, keyring)
    metadata_rows.save(session, {**changed, **online}, moment)


def refresh(session: Session, keyring: Keyring, moment: datetime, with_snapshot: bool) -> None:
    """Renew the timestamp, and optionally the snapshot; the caller holds the lock. Raises KeyMissing."""
    in_force = metadata_rows.CurrentMetadata(session)
    if with_snapshot:
        enact(session, {}, keyring, moment)
        return
    timestamp = next_timestamp(in_force.require(TIMESTAMP), in_force.require(SNAPSHOT), expiry(TIMESTAMP, moment))
    put_online(session, {TIMESTAMP: timestamp}, keyring, moment)


def put_online(session: Session, online: Mapping[str, Metadata[Any]], keyring: Keyring, moment: datetime) -> None:
    """Sign a timestamp, or a snapshot with its timestamp, and put it in force; raises KeyMissing."""
    lookup = metadata_rows.CurrentMetadata(session).get
    metadata_rows.save(session, _signed_online(online, lookup, keyring), moment)


def _signed_online(
    online: Mapping[str, Metadata[Any]], lookup: RoleLookup, keyring: Keyring
) -> Mapping[str, Metadata[Any]]:
    sign_all(online, lookup, keyring)
    lacking = [role for role, metadata in online.items() if not metadata.signatures]
    if lacking:
        raise KeyMissing(
            f"no key of {' and '.join(lacking)} is in {keyring.folder}", "set DIFFSERVER_KEYS to the online keys"
        )
    require_signed(online, metadata_rows.overlaid(online, lookup))
    return online
