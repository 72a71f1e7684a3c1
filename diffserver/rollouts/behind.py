"""Devices that run another version than the one that they shall run, as a condition of a query.

It says for all devices of a model what `target` says for one. A query with it reads no device of a channel that runs
the channel's version, except where a rollout chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, String, and_, false, literal, not_, or_, select, true
from sqlalchemy.orm import Session

from diffserver.catalog.devices import has_attribute
from diffserver.rollouts.plan import PLACES
from diffserver.rollouts.target import Reached, course, on_its_way
from diffserver.storage.column_types import utc_now
from diffserver.storage.functions import LeadingBits
from diffserver.storage.tables import Channel, Device, Rollout

LATE = timedelta(days=7)
"""A device that shall run a version for longer than this, and does not, is stuck."""


def behind(session: Session, model: str, since: datetime | None = None) -> ColumnElement[bool]:
    """Tell which devices in service run another version than they shall, or none; with `since`, from before it on.

    What a channel gives is known from when it moved, and what a rollout gives from when its stage began.
    """
    here = [Device.model == model, Device.left_at.is_(None)]
    if since is not None:
        here.append(Device.enrolled_at < since)
    return and_(*here, or_(false(), *_by_channel(session, model, since)))


def stuck(session: Session, model: str, moment: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Tell which devices fell silent for longer than `longest` in the middle of an update, or are behind for LATE."""
    silent = and_(
        Device.model == model,
        Device.left_at.is_(None),
        Device.stage.is_not(None),
        Device.last_seen < moment - longest,
    )
    return or_(silent, behind(session, model, moment - LATE))


def failed(model: str) -> ColumnElement[bool]:
    """Tell which devices in service said in their last report of an update that it failed."""
    return and_(Device.model == model, Device.left_at.is_(None), Device.outcome == "failed")


def amiss(session: Session, model: str, moment: datetime, longest: timedelta) -> dict[str, ColumnElement[bool]]:
    """Return what tells which devices need a look: those `behind`, `stuck` and `failed`."""
    return {
        "behind": behind(session, model),
        "stuck": stuck(session, model, moment, longest),
        "failed": failed(model),
    }


def _by_channel(session: Session, model: str, since: datetime | None) -> Iterator[ColumnElement[bool]]:
    rows = select(Channel, Rollout).outerjoin(Rollout, on_its_way()).where(Channel.model == model)
    for channel, rollout in session.execute(rows):
        way = course(session, model, channel.name)
        if way is None:
            continue
        stands = and_(_another(way.stands.digest), _before(channel.moved_at, since))
        if way.moving is not None:
            come = _come(way.moving.reached) if way.moving.gives(utc_now()) else false()
            moves = and_(come, _before(rollout.stage_at, since))
            stands = and_(_another(way.moving.to.digest), or_(moves, and_(not_(come), stands)))
        yield and_(Device.channel == channel.name, stands)


def _another(digest: str) -> ColumnElement[bool]:
    # Two ranges beside the digest, for an index has those and no inequality.
    return or_(Device.digest < digest, Device.digest > digest, Device.digest.is_(None))


def _before(moment: datetime | None, since: datetime | None) -> ColumnElement[bool]:
    return true() if since is None or moment is None or moment < since else false()


def _come(to: Reached) -> ColumnElement[bool]:
    """Tell which devices a rollout has come to, as `Reached.has` does."""
    only = [has_attribute(name, values) for name, values in to.only.values.items()]
    if to.bound >= PLACES:
        return and_(true(), *only)
    named = [has_attribute(name, [value]) for name, value in sorted(to.attributes)]
    return and_(or_(LeadingBits(literal(f"{to.rollout}/", String) + Device.id) < to.bound, *named), *only)
