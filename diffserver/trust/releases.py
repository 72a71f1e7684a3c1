"""Operators' changes to a model's versions: publish, move the channel, retire, renew.

Each changes rows and metadata in one transaction, takes a proof if the server does not hold the model's key, and raises
SignatureNeeded without one.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob, from_json
from diffserver.catalog import versions
from diffserver.errors import Conflict
from diffserver.storage.tables import STABLE, Channel, Model, Payload, Step, Version
from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.restored import lagging
from diffserver.trust.metadata.role_changes import GoBack, GoForward, Publish, Renew, Restored, Retire
from diffserver.trust.metadata.roles import SNAPSHOT, TARGETS, TIMESTAMP
from diffserver.trust.sign_change import Proof, apply


def publish(
    session: Session, keyring: Keyring, candidate_id: int, force: bool = False, by: str = "", proof: Proof | None = None
) -> Version:
    """Make a candidate its model's next version and sign it; raises like `catalog.versions.publish`."""
    version = versions.publish(session, candidate_id, force, by)
    steps = select(Step.manifest).where(Step.model == version.model, Step.to_digest == version.digest)
    manifests = [from_json(manifest) for manifest in session.scalars(steps.order_by(Step.id))]
    apply(session, keyring, version.model, Publish(tuple(manifests)), proof)
    # What a device at the parent has not got yet: the top-level targets change when a model is admitted.
    roles = {TIMESTAMP, SNAPSHOT, version.model} | (set() if version.number else {TARGETS})
    version.metadata_bytes = metadata_rows.length(session, roles)
    return version


def move_channel(session: Session, keyring: Keyring, model: str, number: int, proof: Proof | None = None) -> Version:
    """Move the channel `stable` to a version, and permit devices that have a later one to follow.

    The version is the parent of what is trained and published next. Raises NotFound, Conflict.
    """
    _lock(session, model)
    version, newest = versions.find_version(session, model, number), versions.newest(session, model)
    channel = session.get_one(Channel, (model, STABLE))
    if version.digest == channel.digest:
        raise Conflict(f"the channel of {model} stands at version {number} already", "nothing needs to be done")
    assert newest is not None  # or there were no version to find
    apply(session, keyring, model, _move(session, version, newest.number), proof)
    channel.digest = version.digest
    session.flush()
    return version


def _move(session: Session, version: Version, newest: int) -> GoBack | GoForward:
    """Return the change that lets devices go to a version, where the highest is numbered `newest`."""
    if version.number == newest:
        return GoForward(version.digest, newest)
    below = versions.next_number(session, version.model) - 1
    return GoBack(version.digest, version.number, below, _permission(session, version, below))


def restored(session: Session, model: str) -> Restored:
    """Return the change that signs a model again after a restored backup, whose channel has a version."""
    version, below = versions.head(session, model), versions.next_number(session, model) - 1
    assert version is not None  # or nothing was signed, and there is nothing to restore
    return Restored(version.digest, version.number, below, _permission(session, version, below))


def _permission(session: Session, version: Version, below: int) -> Blob:
    """Return the content of a permission to go back, which is stored as a payload."""
    data = f"{version.model}: devices up to version {below} may go back to version {version.number}\n".encode()
    blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
    if session.get(Payload, blob.sha256) is None:
        session.add(Payload(sha256=blob.sha256, length=blob.length, data=data))
    return blob


def retire(session: Session, keyring: Keyring, model: str, before: int, proof: Proof | None = None) -> int:
    """Drop the diffs to versions before `before` with their bytes; return how many. Raises NotFound, Conflict."""
    _lock(session, model)
    dropped = (
        select(Step.id, Step.manifest["payload"]["sha256"].as_string().label("sha256"))
        .join(Version, (Version.model == Step.model) & (Version.digest == Step.to_digest))
        .where(Step.model == model, Step.from_digest.is_not(None), Version.number < before)
    )
    payloads = {row.id: row.sha256 for row in session.execute(dropped)}
    apply(session, keyring, model, Retire(before), proof)
    session.execute(delete(Step).where(Step.id.in_(payloads)))
    _drop_payloads(session, set(payloads.values()))
    return len(payloads)


def renew(session: Session, keyring: Keyring, model: str, proof: Proof | None = None) -> None:
    """Sign a model's roles again with a later expiry, or as they were in a restored backup; raises NotFound."""
    _lock(session, model)
    metadata_rows.lock(session)
    lag = lagging(model, metadata_rows.CurrentMetadata(session).get)
    apply(session, keyring, model, restored(session, model) if lag else Renew(), proof)


def _lock(session: Session, model: str) -> None:
    versions.find_model(session, model)
    session.get_one(Model, model, with_for_update=True)


def _drop_payloads(session: Session, digests: Collection[str]) -> None:
    """Delete payloads that no step of any model names any longer."""
    named = Step.manifest["payload"]["sha256"].as_string()
    used = set(session.scalars(select(named).where(named.in_(digests))))
    session.execute(delete(Payload).where(Payload.sha256.in_(set(digests) - used)))
