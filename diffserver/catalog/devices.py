"""The fleet: devices enrol, say what they hold, and report what became of an update.

What a device runs is what it said last; a report, which may come late and twice, changes none of it. What a device
shall run is left to `rollouts`.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, and_, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from diffclient.network.holding import Holding
from diffserver.catalog import tokens
from diffserver.catalog.names import require_name
from diffserver.catalog.versions import find_channel
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import FIELD, Device, Report, Version

SEEN_FRESH = timedelta(minutes=1)
"""A device that says nothing new is written down at most this often."""

SEEN_WAIT_SECONDS = 0.1
"""How long a poll waits to write that down."""


@dataclass(frozen=True)
class Standing:
    """A device, the numbers of the versions that it runs and keeps if they are known, and its last update's report.

    `silent`: it has said nothing for too long, in the middle of an update.
    """

    device: Device
    number: int | None
    kept: int | None
    last_report: Report | None
    silent: bool


def enroll(session: Session, model: str, name: str, channel: str) -> tuple[Device, str]:
    """Take a device in; returns its row and its token's secret. Names need not differ. Raises NotFound, Invalid."""
    require_name(name, "device")
    find_channel(session, model, channel)
    device = Device(id=_new_id(), model=model, name=name, channel=channel)
    session.add(device)
    session.flush()
    return device, tokens.create(session, "device", name, device.id)[1]


def remember(engine: Engine, device: Device, holding: Holding, client: str) -> bool:
    """Write down that a device was seen, and with what, unless that is known and fresh; whether it is written now.

    It is not where others are writing or the disk is full: a poll needs neither.
    """
    moment, said = utc_now(), asdict(holding) | {"client": client}
    fresh = device.last_seen is not None and moment - device.last_seen < SEEN_FRESH
    if fresh and all(getattr(device, name) == value for name, value in said.items()):
        return True
    seen = update(Device).where(Device.id == device.id).values(last_seen=moment, **said)
    try:
        with writing(engine, SEEN_WAIT_SECONDS) as session:
            session.execute(seen)
    except OperationalError:
        return False
    return True


def record_report(session: Session, device: Device, report: Report) -> Report:
    """Record a report; one that came before is returned as it was.

    The update that it is about is under way no more; errors in the field are about none.
    """
    ended = {} if report.stage == FIELD else {"stage": None}
    # First, so that of two that come at once the second sees the first.
    session.execute(update(Device).where(Device.id == device.id).values(last_seen=utc_now(), **ended))
    if report.report_id is not None:
        known = select(Report).where(Report.device_id == device.id, Report.report_id == report.report_id)
        if (first := session.scalar(known)) is not None:
            return first
    report.device_id = device.id
    session.add(report)
    session.flush()
    return report


def is_silent(device: Device, moment: datetime, longest: timedelta) -> bool:
    """Tell whether a device has said nothing for longer than that, in the middle of an update."""
    return device.stage is not None and device.last_seen is not None and moment - device.last_seen > longest


def standings(session: Session, model: str, after: str, limit: int, longest: timedelta) -> Sequence[Standing]:
    """The model's devices in the order of their enrolment, from the one after `after` (an id or "").

    A device may be silent for as long as `longest` in the middle of an update.
    """
    of_updates = select(func.max(Report.id)).where(Report.device_id == Device.id, Report.stage != FIELD)
    latest = of_updates.correlate(Device).scalar_subquery()
    last, runs, keeps = aliased(Report), aliased(Version), aliased(Version)
    rows = session.execute(
        select(Device, runs.number, keeps.number, last)
        .outerjoin(runs, and_(runs.model == Device.model, runs.digest == Device.digest))
        .outerjoin(keeps, and_(keeps.model == Device.model, keeps.digest == Device.previous))
        .outerjoin(last, last.id == latest)
        .where(Device.model == model, Device.id > after)
        .order_by(Device.id)
        .limit(limit)
    )
    moment = utc_now()
    return [Standing(*row, is_silent(row[0], moment, longest)) for row in rows]


def _new_id() -> str:
    # The time comes first so that devices sort in the order of their enrolment.
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
