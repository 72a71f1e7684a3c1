"""The version that a device shall run: its channel's, or that of the rollout that has come to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, aliased

from diffserver.rollouts.plan import from_json, place, stages_of
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Attribute, Channel, Device, Rollout, Version


@dataclass(frozen=True)
class Target:
    """A version of the device's model."""

    number: int
    digest: str


def target(session: Session, device: Device, held: str | None) -> Target | None:
    """Return the version that a device shall run that holds `held`; None if nothing was published yet."""
    stands, moves = aliased(Version), aliased(Version)
    row = session.execute(
        select(stands.number, stands.digest, Rollout, moves.number.label("moves_to"))
        .select_from(Channel)
        .join(stands, and_(stands.model == Channel.model, stands.digest == Channel.digest))
        .outerjoin(Rollout, on_its_way())
        .outerjoin(moves, and_(moves.model == Rollout.model, moves.digest == Rollout.to_digest))
        .where(Channel.model == device.model, Channel.name == device.channel)
    ).one_or_none()
    if row is None:
        return None
    rollout: Rollout | None = row.Rollout
    if rollout and (rollout.to_digest == held or (gives(rollout) and _has(session, reached(rollout), device.id))):
        return Target(row.moves_to, rollout.to_digest)
    return Target(row.number, row.digest)


def on_its_way() -> ColumnElement[bool]:
    """Tell which rollout devices of a channel may be in; there is one at most."""
    return and_(
        Rollout.model == Channel.model, Rollout.channel == Channel.name, Rollout.state.in_(("running", "paused"))
    )


@dataclass(frozen=True)
class Reached:
    """Whom a rollout has come to: devices whose place is below a bound, and those with one of these attributes."""

    rollout: int
    bound: int
    attributes: frozenset[tuple[str, str]]

    def has(self, device: str, attributes: Iterable[tuple[str, str]]) -> bool:
        """Tell whether it has come to a device with these attributes."""
        return place(self.rollout, device) < self.bound or not self.attributes.isdisjoint(attributes)


def reached(rollout: Rollout) -> Reached:
    """Return whom a rollout has come to in its stage."""
    stages = stages_of(rollout.stages)[: rollout.stage + 1]
    return Reached(rollout.id, rollout.reach, frozenset(stage.attribute for stage in stages if stage.attribute))


def gives(rollout: Rollout) -> bool:
    """Tell whether further devices are given the version at this moment."""
    hours = from_json(rollout.terms).hours()
    return rollout.state == "running" and (hours is None or hours.is_open(utc_now()))


def _has(session: Session, come: Reached, device: str) -> bool:
    if not come.attributes:
        return come.has(device, ())
    rows = session.execute(select(Attribute.name, Attribute.value).where(Attribute.device_id == device))
    return come.has(device, ((row.name, row.value) for row in rows))
