"""Operators' changes to a model's versions: publish, go back, retire, renew; rows and metadata in one transaction.

Each function takes a proof if the server does not hold the model's key, and raises SignatureNeeded without one.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob, from_json
from diffserver.catalog import versions
from diffserver.errors import Conflict, NotFound
from diffserver.storage.tables import STABLE, Channel, Model, Payload, Step, Version
from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.role_changes import GoBack, Publish, Renew, Retire
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


def go_back(session: Session, keyring: Keyring, model: str, number: int, proof: Proof | None = None) -> Version:
    """Move the channel `stable` back to a version, and permit devices to follow; raises NotFound, Conflict."""
    _lock(session, model)
    version = session.scalars(select(Version).where(Version.model == model, Version.number == number)).one_or_none()
    latest = versions.head(session, model)
    if version is None or latest is None:
        raise NotFound(f"model {model} has no version {number}", f"see `diffserver versions {model}`")
    if version.number == latest.number:
        raise Conflict(f"version {number} is the latest", "there is nothing to go back from")
    data = f"{model}: devices up to version {latest.number} may go back to version {number}\n".encode()
    blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
    if session.get(Payload, blob.sha256) is None:
        session.add(Payload(sha256=blob.sha256, length=blob.length, data=data))
    apply(session, keyring, model, GoBack(version.digest, number, latest.number, blob), proof)
    session.get_one(Channel, (model, STABLE)).digest = version.digest
    session.flush()
    return version


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
    """Sign a model's roles again with a later expiry; raises NotFound."""
    _lock(session, model)
    apply(session, keyring, model, Renew(), proof)


def _lock(session: Session, model: str) -> None:
    versions.find_model(session, model)
    session.get_one(Model, model, with_for_update=True)


def _drop_payloads(session: Session, digests: Collection[str]) -> None:
    """Delete payloads that no step of any model names any longer."""
    named = Step.manifest["payload"]["sha256"].as_string()
    used = set(session.scalars(select(named).where(named.in_(digests))))
    session.execute(delete(Payload).where(Payload.sha256.in_(set(digests) - used)))
