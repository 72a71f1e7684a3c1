"""What follows a role's metadata: one version more, unsigned, until it expires; who must have signed it. Pure."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from diffserver.errors import BadSignature
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, delegator

Look = Callable[[str], Metadata[Any] | None]
"""A role's metadata in force; None if the role has none."""

YEAR = timedelta(days=365)

LIFETIMES: Mapping[str, timedelta] = {
    ROOT: YEAR,
    TARGETS: YEAR,
    SNAPSHOT: timedelta(days=7),
    TIMESTAMP: timedelta(days=1),
}
MODEL_LIFETIME = YEAR

MARGINS: Mapping[str, timedelta] = {SNAPSHOT: timedelta(days=3, hours=12), TIMESTAMP: timedelta(hours=12)}
YEARLY_MARGIN = timedelta(days=60)
SLACK = timedelta(days=1)
"""By which clocks may differ without a reason to sign anything again."""


def expiry(role: str, moment: datetime) -> datetime:
    """When metadata expires that is signed at a moment; whole seconds, as metadata has it."""
    return (moment + LIFETIMES.get(role, MODEL_LIFETIME)).replace(microsecond=0)


def is_due(role: str, expires: datetime, moment: datetime) -> bool:
    """Whether a role's metadata is to be renewed: well before it expires, or if a clock was ahead when it was signed.

    Devices refuse a timestamp that would hold for too long.
    """
    ahead = role in MARGINS and expires - moment > LIFETIMES[role] + SLACK
    return ahead or expires - moment <= MARGINS.get(role, YEARLY_MARGIN)


def follow(current: Metadata[Any] | None, signed: Signed, expires: datetime) -> Metadata[Any]:
    """Return unsigned metadata that takes the place of `current`."""
    signed = deepcopy(signed)
    signed.version = current.signed.version + 1 if current else 1
    signed.expires = expires
    return Metadata(signed)


def renewed(current: Metadata[Any], expires: datetime) -> Metadata[Any]:
    """Return the same again, unsigned, one version later."""
    return follow(current, current.signed, expires)


def next_snapshot(
    current: Metadata[Any] | None, changed: Mapping[str, Metadata[Any]], expires: datetime
) -> Metadata[Any]:
    """Return the snapshot that names the changed roles' versions; no lengths or hashes, to stay small."""
    meta = dict(current.signed.meta) if current else {}
    meta |= {f"{role}.json": MetaFile(metadata.signed.version) for role, metadata in changed.items()}
    return follow(current, Snapshot(meta=dict(sorted(meta.items()))), expires)


def next_timestamp(current: Metadata[Any] | None, snapshot: Metadata[Any], expires: datetime) -> Metadata[Any]:
    """Return the timestamp that names a snapshot."""
    return follow(current, Timestamp(snapshot_meta=MetaFile(snapshot.signed.version)), expires)


def require_signed(roles: Iterable[str], look: Look, before: Root | None = None) -> None:
    """Raise BadSignature unless each role's metadata bears its threshold of signatures.

    `look` gives what is to be in force. A new root must be signed by the one `before` it too.
    """
    for role in roles:
        metadata, above = look(role), look(delegator(role))
        if metadata is None or above is None:
            raise BadSignature(f"role {role} has no metadata", "prepare the change again")
        by = [above.signed, before] if role == ROOT and before else [above.signed]
        for one in by:
            _require(role, metadata, one)


def _require(role: str, metadata: Metadata[Any], above: Root | Targets) -> None:
    try:
        above.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise BadSignature(
            f"the metadata of role {role} is not signed by those who must: {error}", "sign it with the right keys"
        ) from error
