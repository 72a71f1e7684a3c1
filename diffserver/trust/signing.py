"""Signing with the keys that are here, and putting what is signed in force."""

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
from diffserver.trust.metadata.next_metadata import Look, expiry, next_snapshot, next_timestamp, require_signed
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TIMESTAMP, delegator


def sign(metadata: Metadata[Any], holders: Holders, keyring: Keyring) -> None:
    """Add the signatures that the keys here can give, as many as are needed; raises KeyMissing."""
    for file in keyring.held(holders.keys)[: holders.threshold]:
        try:
            metadata.sign(file.signer(), append=True)
        except UnsignedMetadataError as error:
            raise KeyMissing(f"key {file.name} does not sign: {error}", f"check what {file.uri} names") from error


def can_sign(holders: Holders | None, keyring: Keyring) -> bool:
    """Whether enough keys are here."""
    return holders is not None and len(keyring.held(holders.keys)) >= holders.threshold


def sign_all(changed: Mapping[str, Metadata[Any]], look: Look, keyring: Keyring) -> None:
    """Sign each role by those who hold it once the changes are in force."""
    look = metadata_rows.overlaid(changed, look)
    for role, metadata in changed.items():
        above = look(delegator(role))
        if above and (holders := holders_of(above.signed, role)):
            sign(metadata, holders, keyring)


def enact(session: Session, changed: Mapping[str, Metadata[Any]], keyring: Keyring, moment: datetime) -> None:
    """Put signed metadata in force, with a snapshot and a timestamp that name it, signed here.

    The caller holds the lock. Raises BadSignature, KeyMissing.
    """
    book = metadata_rows.Book(session)
    look = metadata_rows.overlaid(changed, book.look)
    root = book.look(ROOT)
    require_signed(changed, look, root.signed if root else None)
    named = {role: metadata for role, metadata in changed.items() if role != ROOT}
    snapshot = next_snapshot(book.look(SNAPSHOT), named, expiry(SNAPSHOT, moment))
    timestamp = next_timestamp(book.look(TIMESTAMP), snapshot, expiry(TIMESTAMP, moment))
    online = _signed_online({SNAPSHOT: snapshot, TIMESTAMP: timestamp}, look, keyring)
    metadata_rows.save(session, {**changed, **online}, moment)


def refresh(session: Session, keyring: Keyring, moment: datetime, with_snapshot: bool) -> None:
    """Sign timestamp, and the snapshot if asked, anew; the caller holds the lock. Raises KeyMissing."""
    book = metadata_rows.Book(session)
    if with_snapshot:
        enact(session, {}, keyring, moment)
        return
    timestamp = next_timestamp(book.need(TIMESTAMP), book.need(SNAPSHOT), expiry(TIMESTAMP, moment))
    metadata_rows.save(session, _signed_online({TIMESTAMP: timestamp}, book.look, keyring), moment)


def _signed_online(online: Mapping[str, Metadata[Any]], look: Look, keyring: Keyring) -> Mapping[str, Metadata[Any]]:
    sign_all(online, look, keyring)
    lacking = [role for role, metadata in online.items() if not metadata.signatures]
    if lacking:
        raise KeyMissing(
            f"no key of {' and '.join(lacking)} is in {keyring.folder}", "set DIFFSERVER_KEYS to the online keys"
        )
    require_signed(online, metadata_rows.overlaid(online, look))
    return online
