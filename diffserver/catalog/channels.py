"""Channels: which ones a model has, where they stand, and how many persons move them.

Moving one is left to `trust.releases` and to rollouts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from diffserver.catalog import versions
from diffserver.choices.channels import STABLE
from diffserver.errors import Conflict
from diffserver.storage.tables import Channel, Device, Version


@dataclass(frozen=True)
class Standing:
    """A channel, the number of the version that it stands at, and how many devices follow it."""

    channel: Channel
    number: int | None
    devices: int


@dataclass(frozen=True)
class Way:
    """What it takes to bring a channel's devices to a version; those that keep it fetch nothing."""

    devices: int
    keep_it: int
    snapshot: int

    @property
    def bytes(self) -> int:
        """The most that they fetch: a snapshot each."""
        return (self.devices - self.keep_it) * self.snapshot


def way(session: Session, model: str, name: str, number: int) -> Way:
    """Return the way of a channel's devices to a version. Raises NotFound."""
    versions.find_channel(session, model, name)
    version = versions.find_version(session, model, number)
    elsewhere = and_(
        Device.model == model,
        Device.channel == name,
        Device.left_at.is_(None),
        or_(Device.digest.is_(None), Device.digest != version.digest),
    )
    keeps = func.count(case((Device.previous == version.digest, 1)))
    devices, keep_it = session.execute(select(func.count(), keeps).select_from(Device).where(elsewhere)).one()
    return Way(devices, keep_it, version.candidate.snapshot.length)


def standings(session: Session, model: str) -> Sequence[Standing]:
    """A model's channels by name. Raises NotFound."""
    versions.find_model(session, model)
    following = and_(Device.model == Channel.model, Device.channel == Channel.name, Device.left_at.is_(None))
    devices = select(func.count()).select_from(Device).where(following).correlate(Channel).scalar_subquery()
    rows = session.execute(
        select(Channel, Version.number, devices)
        .outerjoin(Version, and_(Version.model == Channel.model, Version.digest == Channel.digest))
        .where(Channel.model == model)
        .order_by(Channel.name)
    )
    return [Standing(*row) for row in rows]


def standing(session: Session, model: str, name: str) -> Standing:
    """One channel and where it stands; raises NotFound."""
    versions.find_channel(session, model, name)
    return next(found for found in standings(session, model) if found.channel.name == name)


def create(session: Session, model: str, name: str, number: int | None, two_persons: bool) -> Channel:
    """Make a channel at a version, by default where `stable` stands. Raises NotFound, Conflict."""
    versions.find_model(session, model)
    if session.get(Channel, (model, name)) is not None:
        raise Conflict(f"model {model} has a channel {name} already", "choose another name")
    stable = versions.find_channel(session, model, STABLE)
    digest = stable.digest if number is None else versions.find_version(session, model, number).digest
    channel = Channel(model=model, name=name, digest=digest, two_persons=two_persons)
    session.add(channel)
    session.flush()
    return channel
