"""The version that a device shall run: its channel's, or that of the rollout that has come to it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, aliased

from diffserver.rollouts.plan import Filter, Window, from_json, place, stages_of
from diffserver.storage.tables import Channel, Rollout, Version

Attributes = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Target:
    """A version of the device's model."""

    number: int
    digest: str


@dataclass(frozen=True)
class Reached:
    """Whom a rollout has come to: of the devices that it is for, those whose place is below a bound, or with one of
    these attributes.
    """

    rollout: int
    bound: int
    attributes: frozenset[tuple[str, str]]
    only: Filter

    @property
    def asks(self) -> bool:
        """Whether it depends on a device's attributes."""
        return bool(self.attributes or self.only.values)

    def has(self, device: str, attributes: Attributes) -> bool:
        """Tell whether it has come to a device with these attributes."""
        if not self.only.admits(attributes):
            return False
        return place(self.rollout, device) < self.bound or not self.attributes.isdisjoint(attributes)


@dataclass(frozen=True)
class Moving:
    """A rollout under way: where it leads, whom it has come to, and when it gives the version to further devices."""

    to: Target
    reached: Reached
    running: bool
    hours: Window | None

    def gives(self, moment: datetime) -> bool:
        """Tell whether further devices are given the version at a moment."""
        return self.running and (self.hours is None or self.hours.is_open(moment))


@dataclass(frozen=True)
class Course:
    """The version that a channel stands at, and the rollout that leads its devices to another one."""

    stands: Target
    moving: Moving | None

    def target(self, device: str, attributes: Callable[[], Attributes], held: str | None, moment: datetime) -> Target:
        """Return the version that a device shall run that holds `held`; attributes are asked for if they matter."""
        moving = self.moving
        if moving is None:
            return self.stands
        if moving.to.digest == held:
            return moving.to
        named = attributes() if moving.reached.asks else frozenset[tuple[str, str]]()
        return moving.to if moving.gives(moment) and moving.reached.has(device, named) else self.stands


def course(session: Session, model: str, channel: str) -> Course | None:
    """Return where a channel leads; None if nothing was published yet."""
    stands, moves = aliased(Version), aliased(Version)
    row = session.execute(
        select(stands.number, stands.digest, Rollout, moves.number.label("moves_to"))
        .select_from(Channel)
        .join(stands, and_(stands.model == Channel.model, stands.digest == Channel.digest))
        .outerjoin(Rollout, on_its_way())
        .outerjoin(moves, and_(moves.model == Rollout.model, moves.digest == Rollout.to_digest))
        .where(Channel.model == model, Channel.name == channel)
    ).one_or_none()
    if row is None:
        return None
    return Course(Target(row.number, row.digest), _moving(row.Rollout, row.moves_to) if row.Rollout else None)


def on_its_way() -> ColumnElement[bool]:
    """Tell which rollout devices of a channel may be in; there is one at most."""
    return and_(
        Rollout.model == Channel.model, Rollout.channel == Channel.name, Rollout.state.in_(("running", "paused"))
    )


def reached(rollout: Rollout) -> Reached:
    """Return whom a rollout has come to in its stage."""
    stages = stages_of(rollout.stages)[: rollout.stage + 1]
    attributes = frozenset(stage.attribute for stage in stages if stage.attribute)
    return Reached(rollout.id, rollout.reach, attributes, from_json(rollout.terms).filter())


def _moving(rollout: Rollout, number: int) -> Moving:
    hours = from_json(rollout.terms).hours()
    return Moving(Target(number, rollout.to_digest), reached(rollout), rollout.state == "running", hours)
