"""Apply a change to a model's roles: sign it with a key that is here, or with signatures sent along.

All of it happens in the caller's transaction, together with the rows that change. Where the model's key is not here,
the first call raises a challenge; the same call with its proof succeeds if nothing changed meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import Signature
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata

from diffserver.errors import BadSignature, Conflict, Invalid, MetadataMoved, SignatureNeeded
from diffserver.trust import metadata_rows
from diffserver.trust.admit_model import admit
from diffserver.trust.clock import signing_time
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders
from diffserver.trust.metadata.model_roles import ModelRoles
from diffserver.trust.metadata.next_metadata import MODEL_LIFETIME, RoleLookup, expiry
from diffserver.trust.metadata.restored import lagging
from diffserver.trust.metadata.role_changes import Change
from diffserver.trust.metadata.roles import delegator
from diffserver.trust.signing import can_sign, enact, sign


@dataclass(frozen=True)
class Proof:
    """Signatures on a change by role, with the versions and the expiry of the signed metadata.

    `returns` are the numbers of the versions to which the change lets devices go back.
    """

    expires: datetime
    versions: Mapping[str, int]
    signatures: Mapping[str, Sequence[Mapping[str, str]]]
    returns: Sequence[int] = ()


def apply(session: Session, keyring: Keyring, model: str, change: Change, proof: Proof | None = None) -> None:
    """Apply a change to a model's roles and put it in force.

    Raises SignatureNeeded without a key or a proof, MetadataMoved, BadSignature, ClockBehind, and what the
    change raises.
    """
    metadata_rows.lock(session)
    moment, in_force = signing_time(session), metadata_rows.CurrentMetadata(session)
    above, holders = admit(in_force, keyring, model, moment)
    expires = _expires(proof, model, moment)
    lag = lagging(model, in_force.get)
    if lag and not change.rewrite_all:
        raise Conflict(
            f"the server was restored from a backup, and nobody has signed for {model} since",
            f"run where its key is: diffserver renew {model} --restored --keys FOLDER",
        )
    changed = changed_by(change, model, holders, in_force.get, expires)
    if proof is not None:
        _attach(changed, proof)
    elif can_sign(holders, keyring):
        for metadata in changed.values():
            sign(metadata, holders, keyring)
    else:
        raise _challenge(model, change, holders, expires, changed, lag)
    enact(session, {**above, **changed}, keyring, moment)


def changed_by(
    change: Change, model: str, holders: Holders, lookup: RoleLookup, expires: datetime
) -> dict[str, Metadata[Any]]:
    """Return the metadata that a change makes of a model's roles, unsigned; raises what the change raises."""
    roles = ModelRoles(model, lookup)
    change.apply(roles)
    return roles.changed_metadata(holders, expires, change.rewrite_all)


def _expires(proof: Proof | None, model: str, moment: datetime) -> datetime:
    if proof is None:
        return expiry(model, moment)
    expires = proof.expires.astimezone(UTC)
    if not moment < expires <= moment + MODEL_LIFETIME + timedelta(days=1) or expires.microsecond:
        raise Invalid(f"signatures until {expires.isoformat()} are of no use", "check this machine's clock")
    return expires


def _attach(changed: Mapping[str, Metadata[Any]], proof: Proof) -> None:
    versions = {role: metadata.signed.version for role, metadata in changed.items()}
    if versions != dict(proof.versions):
        raise MetadataMoved("what was signed has been replaced meanwhile", "do it again; nothing has changed")
    for role, metadata in changed.items():
        for signature in proof.signatures.get(role, ()):
            try:
                parsed = Signature.from_dict(dict(signature))
            except (KeyError, TypeError) as error:
                raise BadSignature(f"a signature on {role} lacks {error}", "send keyid and sig") from error
            metadata.signatures[parsed.keyid] = parsed


def _challenge(
    model: str,
    change: Change,
    holders: Holders,
    expires: datetime,
    changed: Mapping[str, Metadata[Any]],
    lag: Mapping[str, int],
) -> SignatureNeeded:
    return SignatureNeeded(
        f"the server does not hold the key of {model} ({delegator(model)} says whose it is)",
        {
            "model": model,
            "change": change.to_json(),
            "expires": expires.isoformat(),
            "versions": {role: metadata.signed.version for role, metadata in changed.items()},
            "keyids": holders.keyids,
            "threshold": holders.threshold,
            "restored": dict(lag),
        },
    )
