"""A model at a glance: where its channels stand, its rollouts under way, and how many devices need a look.

Counts come from indexes that hold just those devices, or that skip the ones that run what they shall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from diffserver.rollouts.behind import amiss
from diffserver.rollouts.progress import Standing, progress
from diffserver.rollouts.records import UNDER_WAY
from diffserver.storage.tables import Channel, Device, Model, Rollout, Version


@dataclass(frozen=True)
class Overview:
    """A model's name, its channels' versions by channel, its rollouts, and its devices in numbers."""

    name: str
    channels: Mapping[str, int | None]
    rollouts: Sequence[Standing]
    behind: int
    stuck: int
    failed: int


def overviews(session: Session, moment: datetime, longest: timedelta) -> list[Overview]:
    """Return those of all models in use, by name; a device may be silent for `longest` in an update."""
    names = session.scalars(select(Model.name).where(Model.archived_at.is_(None)).order_by(Model.name)).all()
    return [_overview(session, name, moment, longest) for name in names]


def _overview(session: Session, model: str, moment: datetime, longest: timedelta) -> Overview:
    standing = select(Channel.name, Version.number).outerjoin(
        Version, and_(Version.model == Channel.model, Version.digest == Channel.digest)
    )
    moving = select(Rollout).where(Rollout.model == model, Rollout.state.in_(UNDER_WAY)).order_by(Rollout.id)
    return Overview(
        name=model,
        channels={row.name: row.number for row in session.execute(standing.where(Channel.model == model))},
        rollouts=[progress(session, rollout) for rollout in session.scalars(moving).all()],
        **{what: _count(session, which) for what, which in amiss(session, model, moment, longest).items()},
    )


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Device).where(condition)) or 0
