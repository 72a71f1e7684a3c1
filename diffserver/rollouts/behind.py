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
from diffserver.rollouts.target import Course, Reached, course, on_its_way
from diffserver.storage.column_types import utc_now
from diffserver.storage.functions import LeadingBits, unsought
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
    astray = list(_by_channel(session, model, since))
    return and_(*here, or_(*astray)) if astray else false()


def stuck(session: Session, model: str, moment: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Tell which devices fell silent for longer than `longest` in the middle of an update, or are behind for LATE."""
    silent = and_(
        unsought(Device.model) == model,
        Device.left_at.is_(None),
        Device.stage.is_not(None),
        Device.last_seen < moment - longest,
    )
    return or_(silent, behind(session, model, moment - LATE))


def failed(model: str) -> ColumnElement[bool]:
    """Tell which devices in service said in their last report of an update that it failed."""
    return and_(unsought(Device.model) == model, Device.left_at.is_(None), Device.outcome == "failed")


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
        stood = _is_before(channel.moved_at, since)
        moved = rollout is not None and _is_before(rollout.stage_at, since)
        if way is not None and (stood or moved):
            yield and_(Device.channel == channel.name, _astray(way, stood, moved))


def _astray(way: Course, stood: bool, moved: bool) -> ColumnElement[bool]:
    """Tell which devices of a channel run another version than they shall.

    It may be about those alone that shall run the channel's version (`stood`), or that a rollout has come to (`moved`).
    A hash says who these are: it is asked for last, and where the version that a device runs does not tell.
    """
    elsewhere = _another(way.stands.digest)
    if way.moving is None:
        return elsewhere
    come = _come(way.moving.reached) if way.moving.gives(utc_now()) else false()
    aside = _another(way.moving.to.digest)
    match stood, moved:
        case True, True:
            return and_(aside, or_(elsewhere, come))
        case True, False:
            return and_(aside, elsewhere, not_(come))
    return and_(aside, come)


def _another(digest: str) -> ColumnElement[bool]:
    # Two ranges beside the digest, for an index has those and no inequality.
    return or_(Device.digest < digest, Device.digest > digest, Device.digest.is_(None))


def _is_before(moment: datetime | None, since: datetime | None) -> bool:
    return since is None or moment is None or moment < since


def _come(to: Reached) -> ColumnElement[bool]:
    """Tell which devices a rollout has come to, as `Reached.has` does."""
    only = [has_attribute(name, values) for name, values in to.only.values.items()]
    if to.bound >= PLACES:
        return and_(true(), *only)
    named = [has_attribute(name, [value]) for name, value in sorted(to.attributes)]
    return and_(or_(LeadingBits(literal(f"{to.rollout}/", String) + Device.id) < to.bound, *named), *only)
