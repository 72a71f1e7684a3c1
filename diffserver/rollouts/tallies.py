"""Devices by version over time: counted now and then, kept for a season, so that a picture needs no guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from diffserver.storage.tables import Device, Tally, Version

KEPT = timedelta(days=90)
NO_VERSION = -1
"""Stands for devices that run none, or one that is none of the model."""


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def is_counted(session: Session, moment: datetime) -> bool:
    """Tell whether devices were counted in a moment's hour."""
    return session.scalar(select(Tally.at).where(Tally.at == hour_of(moment)).limit(1)) is not None


def count(session: Session, moment: datetime) -> None:
    """Count all devices in service for a moment's hour; drop what is too old."""
    hour = hour_of(moment)
    counted = select(Device.model, Device.digest, func.count()).where(Device.left_at.is_(None))
    rows = session.execute(select(Version.model, Version.digest, Version.number))
    numbers = {(model, digest): number for model, digest, number in rows}
    tallies: Counter[tuple[str, int]] = Counter()
    for model, digest, devices in session.execute(counted.group_by(Device.model, Device.digest)):
        tallies[model, numbers.get((model, digest or ""), NO_VERSION)] += devices
    session.add_all(Tally(model=model, at=hour, number=number, devices=n) for (model, number), n in tallies.items())
    session.execute(delete(Tally).where(Tally.at < moment - KEPT))


def history(session: Session, model: str, since: datetime) -> Sequence[Tally]:
    """Return a model's tallies from a moment on, in the order of time and number."""
    rows = select(Tally).where(Tally.model == model, Tally.at >= since)
    return session.scalars(rows.order_by(Tally.at, Tally.number)).all()
