"""How far a rollout has come, and how far one would come, as operators are shown it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from diffserver.catalog.devices import has_attribute
from diffserver.catalog.versions import find_channel
from diffserver.rollouts.evidence import Tried, among, here, tried
from diffserver.rollouts.plan import Filter, Stage
from diffserver.storage.tables import Device, Rollout, Version


@dataclass(frozen=True)
class Standing:
    """A rollout, the numbers of its versions, and what became of the devices that its version came to."""

    rollout: Rollout
    from_version: int
    to_version: int
    running: int
    trials: tuple[Tried, ...]

    @property
    def stage(self) -> str | None:
        """The stage that the rollout is in, or ended in; None until it begins."""
        return self.rollout.stages[self.rollout.stage] if self.rollout.started_at else None

    @property
    def tried(self) -> int:
        """The number of devices that said what became of the version."""
        return sum(one.devices for one in self.trials)

    @property
    def failures(self) -> list[Tried]:
        """Those at which it does not run, by where and why."""
        return [one for one in self.trials if one.failed]


def progress(session: Session, rollout: Rollout) -> Standing:
    """Return how far a rollout has come."""
    before, after = rollout.from_digest, rollout.to_digest
    both = (Version.model == rollout.model, Version.digest.in_([before, after]))
    numbers = {row.digest: row.number for row in session.execute(select(Version.digest, Version.number).where(*both))}
    running = select(func.count()).select_from(Device).where(*here(rollout), Device.digest == rollout.to_digest)
    trials = tried(session, rollout) if rollout.started_at else []
    return Standing(rollout, numbers[before], numbers[after], session.scalar(running) or 0, tuple(trials))


@dataclass(frozen=True)
class Foreseen:
    """The devices that a rollout is for, and of them those of a stage; of a share about so many."""

    devices: int
    stage: int


def foreseen(session: Session, model: str, channel: str, only: Filter, stage: Stage) -> Foreseen:
    """Return how many devices of a channel a stage would come to. Raises NotFound."""
    find_channel(session, model, channel)
    those = among(model, channel, only)
    devices = _count(session, *those)
    if stage.attribute is not None:
        name, value = stage.attribute
        return Foreseen(devices, _count(session, *those, has_attribute(name, [value])))
    if stage.share is not None:
        return Foreseen(devices, ceil(devices * stage.share))
    return Foreseen(devices, min(devices, stage.count or 0))


def _count(session: Session, *which: ColumnElement[bool]) -> int:
    return session.scalars(select(func.count()).select_from(Device).where(*which)).one()
