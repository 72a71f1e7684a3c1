"""The next version of a role's metadata: its expiry, its content, and the check of its signatures. Pure.

Signing is left to `signing`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from diffserver.errors import BadSignature
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, delegator

RoleLookup = Callable[[str], Metadata[Any] | None]
"""A function from a role to its metadata; None if the role has none."""

LEAST = "diffserver_least"
"""The field of a snapshot that says `least`; devices read over it."""

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
    """Return when a role's metadata expires that is signed at `moment`, in whole seconds."""
    return (moment + LIFETIMES.get(role, MODEL_LIFETIME)).replace(microsecond=0)


def is_due(role: str, expires: datetime, moment: datetime) -> bool:
    """Tell whether a role's metadata is due for renewal: well before it expires, or if a clock was ahead at signing.

    Devices refuse a timestamp that would hold for too long.
    """
    ahead = role in MARGINS and expires - moment > LIFETIMES[role] + SLACK
    return ahead or expires - moment <= MARGINS.get(role, YEARLY_MARGIN)


def least(snapshot: Metadata[Any] | None) -> int:
    """Return the least version of what is signed from now on, roots apart: devices may have seen lower ones.

    It is 1 unless the server was restored from a backup.
    """
    return int(snapshot.signed.unrecognized_fields.get(LEAST, 1)) if snapshot else 1


def version_after(current: Metadata[Any] | None, least: int = 1) -> int:
    """Return the version of what follows `current`."""
    return max(current.signed.version + 1 if current else 1, least)


def follow(current: Metadata[Any] | None, signed: Signed, expires: datetime, least: int = 1) -> Metadata[Any]:
    """Return unsigned metadata of the version after `current`."""
    signed = type(signed).from_dict(signed.to_dict())  # a deep copy, in an eighth of the time
    signed.version = version_after(current, least)
    signed.expires = expires
    return Metadata(signed)


def renewed(current: Metadata[Any], expires: datetime, least: int = 1) -> Metadata[Any]:
    """Return the content of `current` as the next version, unsigned."""
    return follow(current, current.signed, expires, least)


def next_snapshot(
    current: Metadata[Any] | None, changed: Mapping[str, Metadata[Any]], expires: datetime
) -> Metadata[Any]:
    """Return the snapshot that names the changed roles' versions, without lengths and hashes to stay small."""
    meta = dict(current.signed.meta) if current else {}
    meta |= {f"{role}.json": MetaFile(metadata.signed.version) for role, metadata in changed.items()}
    fields = current.signed.unrecognized_fields if current else None
    return follow(current, Snapshot(meta=dict(sorted(meta.items())), unrecognized_fields=fields), expires)


def next_timestamp(current: Metadata[Any] | None, snapshot: Metadata[Any], expires: datetime) -> Metadata[Any]:
    """Return the timestamp that names a snapshot."""
    return follow(current, Timestamp(snapshot_meta=MetaFile(snapshot.signed.version)), expires, least(snapshot))


def require_signed(roles: Iterable[str], lookup: RoleLookup, before: Root | None = None) -> None:
    """Raise BadSignature unless each role's metadata bears its threshold of signatures.

    `lookup` gives the metadata to be in force. A new root must also be signed by the root `before` it.
    """
    for role in roles:
        metadata, above = lookup(role), lookup(delegator(role))
        if metadata is None or above is None:
            raise BadSignature(f"role {role} has no metadata", "prepare the change again")
        delegators = [above.signed, before] if role == ROOT and before else [above.signed]
        for delegating in delegators:
            _require(role, metadata, delegating)


def _require(role: str, metadata: Metadata[Any], above: Root | Targets) -> None:
    try:
        above.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise BadSignature(
            f"the metadata of role {role} is not signed by those who must: {error}", "sign it with the right keys"
        ) from error
