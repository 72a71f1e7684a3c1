"""What devices report of a rollout's version, as the gate takes it: failures, and changes of errors in the field.

A device counts once, by its last report of an update, and by all that it counted in the field: before the rollout, and
since its stage began. What a network or a server did counts for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from diffserver.catalog.devices import has_attribute
from diffserver.gate.difference import Changes, Difference, changes, compare
from diffserver.gate.judge import Reports
from diffserver.rollouts.plan import Filter, from_json, stages_of
from diffserver.rollouts.target import reached
from diffserver.storage.tables import Attribute, Device, Report, Rollout

BEFORE = timedelta(days=28)
"""How long before a rollout the field is looked at."""

TRIED = ("installed", "failed", "rolled_back")


@dataclass(frozen=True)
class Tried:
    """A number of devices that tried a version, by what became of that; `at` and `cause` where it failed."""

    stage: str
    at: str | None
    cause: str | None
    devices: int

    @property
    def failed(self) -> bool:
        """Whether the version does not run there, by its own or the device's fault."""
        return self.stage != "installed"


@dataclass(frozen=True)
class Counted:
    """Errors and totals of a device in the field: before the rollout, and since the stage began, by what it ran."""

    device: str
    before: tuple[int, int]
    with_it: tuple[int, int]
    without: tuple[int, int]


def gather(session: Session, rollout: Rollout) -> Reports:
    """Return what the gate asks of a rollout that has begun."""
    trials, conditions = tried(session, rollout), from_json(rollout.terms)
    devices, failed = sum(one.devices for one in trials), sum(one.devices for one in trials if one.failed)
    if conditions.evidence != "field":
        return Reports(devices, failed, _difference([], []))
    rows = counted(session, rollout, conditions.measure)
    come, named = reached(rollout), attributes_of(session, rollout)
    moved = [row for row in rows if row.with_it[1]]
    control = [row for row in rows if not row.with_it[1] and not come.has(row.device, named[row.device])]
    groups = {}
    if conditions.by is not None:
        values = {row.device: dict(named[row.device]).get(conditions.by) for row in rows}
        for value in sorted({value for value in values.values() if value is not None}):
            sides = ([row for row in side if values[row.device] == value] for side in (moved, control))
            groups[f"{conditions.by}={value}"] = _difference(*sides)
    return Reports(devices, failed, _difference(moved, control), groups)


def tried(session: Session, rollout: Rollout) -> list[Tried]:
    """Return what became of a rollout's version on the devices of its channel, by their last report of it."""
    about = or_(
        Report.to_digest == rollout.to_digest,
        and_(Report.stage == "rolled_back", Report.from_digest == rollout.to_digest),
    )
    since = (about, Report.stage.in_(TRIED), Report.created_at >= _begun(rollout))
    # A table to begin with: SQLite would look through an `in` anew for each device.
    last = select(func.max(Report.id).label("id")).where(*since).group_by(Report.device_id).cte("last")
    by = (Report.stage, Report.failed_stage, Report.cause)
    counted = (
        select(*by, func.count())
        .select_from(last)
        .join(Report, Report.id == last.c.id)
        .join(Device, Device.id == Report.device_id)
        .where(*here(rollout))
        .group_by(*by)
        .order_by(*by)
    )
    return [Tried(*row) for row in session.execute(counted)]


def counted(session: Session, rollout: Rollout, measure: str | None) -> list[Counted]:
    """Return what devices of the channel counted in the field."""
    began, stage_at = _begun(rollout), rollout.stage_at or _begun(rollout)
    has_it = Report.to_digest == rollout.to_digest
    parts = (Report.created_at < began, and_(Report.created_at >= stage_at, has_it), Report.created_at >= stage_at)
    sums = [_sum(when, what) for when in (parts[0], parts[1], and_(parts[2], ~has_it)) for what in ("errors", "total")]
    rows = session.execute(
        select(Report.device_id, *sums)
        .join(Device, Device.id == Report.device_id)
        .where(
            Report.stage == "field",
            Report.created_at >= began - BEFORE,
            Report.measure.is_(None) if measure is None else Report.measure == measure,
            *here(rollout),
        )
        .group_by(Report.device_id)
    )
    return [Counted(row[0], (row[1], row[2]), (row[3], row[4]), (row[5], row[6])) for row in rows]


def _begun(rollout: Rollout) -> datetime:
    return rollout.started_at or rollout.created_at


def attributes_of(session: Session, rollout: Rollout) -> defaultdict[str, set[tuple[str, str]]]:
    """Return what is said of the devices that a rollout is for, as far as its plan asks for it; by device."""
    conditions = from_json(rollout.terms)
    asked = {stage.attribute[0] for stage in stages_of(rollout.stages) if stage.attribute}
    asked |= conditions.filter().values.keys() | ({conditions.by} if conditions.by else set())
    named: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    if asked:
        rows = select(Attribute).join(Device, Device.id == Attribute.device_id).where(*here(rollout))
        for row in session.scalars(rows.where(Attribute.name.in_(asked))):
            named[row.device_id].add((row.name, row.value))
    return named


def here(rollout: Rollout) -> tuple[ColumnElement[bool], ...]:
    """Return what is true of the devices that a rollout is for: those of its channel that its filter admits."""
    return among(rollout.model, rollout.channel, from_json(rollout.terms).filter())


def among(model: str, channel: str, only: Filter) -> tuple[ColumnElement[bool], ...]:
    """Return what is true of a channel's devices that a filter admits."""
    of_channel = (Device.model == model, Device.channel == channel, Device.left_at.is_(None))
    return (*of_channel, *(has_attribute(name, values) for name, values in only.values.items()))


def _sum(when: ColumnElement[bool], what: str) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((when, getattr(Report, what)), else_=0)), 0)


def _difference(moved: Sequence[Counted], control: Sequence[Counted]) -> Difference:
    return compare(_changes(moved, [row.with_it for row in moved]), _changes(control, [row.without for row in control]))


def _changes(rows: Sequence[Counted], after: Sequence[tuple[int, int]]) -> Changes:
    sides = ([row.before for row in rows], after)
    return changes(*(np.array(side, np.int64).reshape(-1, 2) for side in sides))
