"""Operators' changes to a model's versions: publish, start a rollout, move a channel, retire, renew.

Each changes rows and metadata in one transaction, takes a proof if the server does not hold the model's key, and raises
SignatureNeeded without one.
"""

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob, from_json
from diffserver.catalog import versions
from diffserver.choices.channels import STABLE
from diffserver.errors import Conflict, Invalid, MetadataMoved, SignatureNeeded
from diffserver.rollouts import records
from diffserver.rollouts.plan import Conditions
from diffserver.storage.tables import Model, Payload, Rollout, Step, Version
from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.restored import lagging
from diffserver.trust.metadata.role_changes import Permit, Publish, Renew, Restored, Retire, Return
from diffserver.trust.metadata.roles import SNAPSHOT, TARGETS, TIMESTAMP
from diffserver.trust.sign_change import Proof, apply


@dataclass(frozen=True)
class Way:
    """How a version reaches a channel: at once or, with stages, in a rollout."""

    channel: str = STABLE
    stages: Sequence[str] = ()
    conditions: Conditions = Conditions()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        """Raise Invalid if it is for some of the devices, and for all at once."""
        if self.conditions.only and not self.stages:
            raise Invalid("a version reaches only some devices in a rollout", "give its stages, as 10%,50%,100%")


AT_ONCE = Way()


def publish(
    session: Session,
    keyring: Keyring,
    candidate_id: int,
    force: bool = False,
    by: str = "",
    proof: Proof | None = None,
    way: Way = AT_ONCE,
) -> Version:
    """Make a candidate its model's next version, lead a channel there, and sign it.

    Raises like `catalog.versions.publish` and `rollouts.records.begin`.
    """
    version = versions.publish(session, candidate_id, force, by, way.channel, move=not way.stages)
    _lead(session, version, way, by)
    steps = select(Step.manifest).where(Step.model == version.model, Step.to_digest == version.digest)
    manifests = [from_json(manifest) for manifest in session.scalars(steps.order_by(Step.id))]
    returns = _returns(session, version.model, version.number, proof)
    apply(session, keyring, version.model, Publish(tuple(manifests), returns), proof)
    session.get_one(Model, version.model).returns = [one.digest for one in returns]
    # What a device at the parent has not got yet: the top-level targets change when a model is admitted.
    roles = {TIMESTAMP, SNAPSHOT, version.model} | (set() if version.number else {TARGETS})
    version.metadata_bytes = metadata_rows.length(session, roles)
    return version


def start_rollout(
    session: Session, keyring: Keyring, model: str, number: int, way: Way, by: str, proof: Proof | None = None
) -> Rollout:
    """Lead a channel in stages to a version that was published; raises NotFound, Conflict, Invalid."""
    _lock(session, model)
    version = versions.find_version(session, model, number)
    rollout = records.begin(session, version, way.channel, way.stages, way.conditions, by)
    _permit(session, keyring, model, proof)
    return rollout


def move_channel(
    session: Session, keyring: Keyring, model: str, number: int, proof: Proof | None = None, channel: str = STABLE
) -> Version:
    """Move a channel to a version at once, and permit devices that have a later one to follow.

    The version is the parent of what is trained and published for the channel next. Raises NotFound, Conflict.
    """
    _lock(session, model)
    version = versions.find_version(session, model, number)
    standing, before = versions.find_channel(session, model, channel), versions.head(session, model, channel)
    records.require_none(session, model, channel)
    if before is not None and before.number == number:
        raise Conflict(f"the channel {channel} of {model} stands at version {number} already", "nothing to be done")
    if standing.two_persons and (before is None or before.number < number):
        raise _two_persons(channel)
    standing.digest = version.digest
    session.flush()
    _permit(session, keyring, model, proof)
    return version


def restored(session: Session, model: str, proof: Proof | None = None) -> Restored:
    """Return the change that signs a model again after a restored backup, whose channel has a version."""
    below = versions.next_number(session, model) - 1
    returns = _returns(session, model, below, proof)
    session.get_one(Model, model).returns = [one.digest for one in returns]
    return Restored(below, returns)


def settle(session: Session, keyring: Keyring, model: str) -> None:
    """Sign which versions devices may go back to now, if the key is here; otherwise the next change of the model does.

    Raises NotFound.
    """
    _lock(session, model)
    with suppress(SignatureNeeded):
        _permit(session, keyring, model)


def _lead(session: Session, version: Version, way: Way, by: str) -> None:
    if way.stages:
        records.begin(session, version, way.channel, way.stages, way.conditions, by)
        return
    records.require_none(session, version.model, way.channel)
    if versions.find_channel(session, version.model, way.channel).two_persons:
        raise _two_persons(way.channel)


def _two_persons(channel: str) -> Conflict:
    return Conflict(
        f"the channel {channel} moves forward only with the approval of a second person",
        "lead it there in stages (--stages 100% for all at once), and let another one approve the rollout",
    )


def _permit(session: Session, keyring: Keyring, model: str, proof: Proof | None = None) -> None:
    """Sign the versions that devices may go back to now, unless these are signed."""
    below, row = versions.next_number(session, model) - 1, session.get_one(Model, model)
    returns = _returns(session, model, below, proof)
    digests = [one.digest for one in returns]
    if proof is not None or digests != row.returns:
        apply(session, keyring, model, Permit(below, returns), proof)
        row.returns = digests
        session.flush()


def _returns(session: Session, model: str, below: int, proof: Proof | None) -> tuple[Return, ...]:
    """Return the permissions to go back from versions up to `below`, and store what they are of.

    Devices may have moved on since the challenge: then what was signed holds.
    """
    if proof is None:
        kept = records.kept_by_devices(session, model, below)
    else:
        kept = [versions.find_version(session, model, number) for number in proof.returns]
        if not {version.id for version in records.where_channels_stand(session, model, below)} <= {
            version.id for version in kept
        }:
            raise MetadataMoved("a channel has moved since this was signed", "do it again; nothing has changed")
    return tuple(Return(version.digest, version.number, _text(session, version, below)) for version in kept)


def _text(session: Session, version: Version, below: int) -> Blob:
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
    apply(session, keyring, model, restored(session, model, proof) if lag else Renew(), proof)


def _lock(session: Session, model: str) -> None:
    versions.find_model(session, model)
    session.get_one(Model, model, with_for_update=True)


def _drop_payloads(session: Session, digests: Collection[str]) -> None:
    """Delete payloads that no step of any model names any longer."""
    named = Step.manifest["payload"]["sha256"].as_string()
    used = set(session.scalars(select(named).where(named.in_(digests))))
    session.execute(delete(Payload).where(Payload.sha256.in_(set(digests) - used)))
