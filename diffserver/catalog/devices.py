"""The fleet: devices enrol, ask what to do, and say what became of it.

A device's answer is a plan to its channel's version, which may be an older one if an operator moved the
channel back: then the plan is a snapshot, as no diff leads backwards. It names targets; what they are, the device
learns from signed metadata, and the bytes are fetched from elsewhere.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Engine, and_, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from diffclient.release.manifest import from_json
from diffclient.release.target_custom import name_of
from diffserver.catalog import tokens
from diffserver.catalog.names import require_name
from diffserver.catalog.update_path import Edge, plan
from diffserver.catalog.versions import find_model
from diffserver.errors import NoPath, NotFound
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Channel, Device, Report, Step, Version

SEEN_FRESH = timedelta(minutes=1)
"""A device that says nothing new is written down at most this often."""

SEEN_WAIT_SECONDS = 0.1
"""How long a poll waits to write that down."""


@dataclass(frozen=True)
class Answer:
    """The version that a device should run, and the targets of the steps that lead there."""

    number: int | None
    digest: str | None
    steps: tuple[str, ...] = ()
    notice: Literal["snapshot"] | None = None
    """Set if there are no steps for the only reason that the device wants no snapshot."""


@dataclass(frozen=True)
class Standing:
    """A device, the number of the version that it holds if it is known, and the last report it made."""

    device: Device
    number: int | None
    last_report: Report | None


def enroll(session: Session, model: str, name: str, channel: str) -> tuple[Device, str]:
    """Take a device in; returns its row and its token's secret. Names need not differ. Raises NotFound, Invalid."""
    require_name(name, "device")
    find_model(session, model)
    if session.get(Channel, (model, channel)) is None:
        names = session.scalars(select(Channel.name).where(Channel.model == model).order_by(Channel.name))
        raise NotFound(f"model {model} has no channel {channel!r}", f"choose one of: {', '.join(names)}")
    device = Device(id=_new_id(), model=model, name=name, channel=channel)
    session.add(device)
    session.flush()
    return device, tokens.create(session, "device", name, device.id)[1]


def answer(
    session: Session, device: Device, digest: str | None, full_fallback: bool = True, without: Sequence[str] = ()
) -> Answer:
    """Return the steps of a device that holds `digest` (None: nothing), with a snapshot only if it may; raises NoPath.

    `without` names steps that failed there: no way takes them.
    """
    target = session.execute(
        select(Version.number, Version.digest)
        .join(Channel, and_(Channel.model == Version.model, Channel.digest == Version.digest))
        .where(Channel.model == device.model, Channel.name == device.channel)
    ).one_or_none()
    if target is None:
        return Answer(None, None)
    if target.digest == digest:
        return Answer(target.number, target.digest)
    edges = _edges(session, device.model)
    if without:
        names = dict(zip(edges, _names(session, list(edges.values())), strict=True))
        edges = {edge: step for edge, step in edges.items() if names[edge] not in without}
    way = plan(edges, digest, target.digest)
    if way[0].from_digest is None and not full_fallback:
        try:
            way = plan([edge for edge in edges if edge.from_digest is not None], digest, target.digest)
        except NoPath:
            return Answer(target.number, target.digest, notice="snapshot")
    return Answer(target.number, target.digest, _names(session, [edges[edge] for edge in way]))


def remember(engine: Engine, device: Device, digest: str | None, client: str) -> bool:
    """Write down that a device was seen, and with what, unless that is known and fresh; whether it is written now.

    It is not where others are writing or the disk is full: a poll needs neither.
    """
    moment = utc_now()
    fresh = device.last_seen is not None and moment - device.last_seen < SEEN_FRESH
    if fresh and (device.digest, device.client) == (digest, client):
        return True
    seen = update(Device).where(Device.id == device.id).values(last_seen=moment, digest=digest, client=client)
    try:
        with writing(engine, SEEN_WAIT_SECONDS) as session:
            session.execute(seen)
    except OperationalError:
        return False
    return True


def record_report(session: Session, device: Device, report: Report) -> Report:
    """Record what a device says about an update, and that it now runs the version that it installed."""
    report.device_id = device.id
    session.add(report)
    values: dict[str, Any] = {"last_seen": utc_now()}
    if report.stage != "failed" and report.to_digest is not None:
        values["digest"] = report.to_digest
    session.execute(update(Device).where(Device.id == device.id).values(values))
    session.flush()
    return report


def standings(session: Session, model: str, after: str, limit: int) -> Sequence[Standing]:
    """The model's devices in the order of their enrolment, from the one after `after` (an id or "")."""
    latest = select(func.max(Report.id)).where(Report.device_id == Device.id).correlate(Device).scalar_subquery()
    last = aliased(Report)
    rows = session.execute(
        select(Device, Version.number, last)
        .outerjoin(Version, and_(Version.model == Device.model, Version.digest == Device.digest))
        .outerjoin(last, last.id == latest)
        .where(Device.model == model, Device.id > after)
        .order_by(Device.id)
        .limit(limit)
    )
    return [Standing(device, number, report) for device, number, report in rows]


def _edges(session: Session, model: str) -> dict[Edge, int]:
    rows = session.execute(select(Step.id, Step.from_digest, Step.to_digest, Step.length).where(Step.model == model))
    return {Edge(*row[1:]): row.id for row in rows}


def _names(session: Session, chosen: Sequence[int]) -> tuple[str, ...]:
    rows = session.execute(select(Step.id, Step.manifest).where(Step.id.in_(chosen)))
    names = {row.id: name_of(from_json(row.manifest)) for row in rows}
    return tuple(names[step_id] for step_id in chosen)


def _new_id() -> str:
    # The time comes first so that devices sort in the order of their enrolment.
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
