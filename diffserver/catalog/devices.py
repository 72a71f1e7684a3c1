"""The fleet: devices enrol, say what they hold, and report what became of an update.

What a device runs is what it said last; a report, which may come late and twice, changes none of it. What a device
shall run is left to `rollouts`.
"""

import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, Select, Table, and_, func, or_, select, union_all, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased, selectinload

from diffclient.network.holding import Holding
from diffserver.catalog import clones, tokens
from diffserver.catalog.names import require_name
from diffserver.catalog.versions import find_channel
from diffserver.errors import NotFound
from diffserver.storage.changes import UNTOLD
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.functions import begins, given_rows
from diffserver.storage.tables import FIELD, Attribute, Device, Report, Version

HEX = re.compile(r"[0-9a-f]+")
"""What ids are made of."""

MOST_ATTRIBUTES = 20
"""Of one device."""

SEEN_FRESH = timedelta(minutes=1)
"""A device that says nothing new is written down at most this often."""

SEEN_WAIT_SECONDS = 0.1
"""How long a poll waits to write that down."""


@dataclass(frozen=True)
class Standing:
    """A device, the numbers of the versions that it runs and keeps if they are known, and its last update's report.

    `silent`: it has said nothing for too long, in the middle of an update. `cloned`: two machines used it lately.
    """

    device: Device
    number: int | None
    kept: int | None
    last_report: Report | None
    silent: bool
    cloned: bool


@dataclass(frozen=True)
class Which:
    """Which of a model's devices are asked for: those of a channel, those with attributes, and those that left."""

    channel: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    left: bool = False
    conditions: tuple[ColumnElement[bool], ...] = ()
    """Further ones, of a query."""


def enroll(
    session: Session, model: str, name: str, channel: str, attributes: Mapping[str, str] | None = None
) -> tuple[Device, str]:
    """Take a device in, to be flushed; returns its row and its token's secret. Names need not differ.

    Raises NotFound, Invalid.
    """
    require_name(name, "device")
    find_channel(session, model, channel)
    said = [Attribute(name=name, value=value) for name, value in (attributes or {}).items()]
    device = Device(id=_new_id(), model=model, name=name, channel=channel, attributes=said)
    token, secret = tokens.new("device", name, device.id)
    session.add_all((device, token))
    return device, secret


def find(session: Session, device_id: str) -> Device:
    """The device of that id, also one that left; raises NotFound."""
    device = session.get(Device, device_id)
    if device is None:
        raise NotFound(f"there is no device {device_id}", "list them with `diffserver devices <model>`")
    return device


def remember(
    engine: Engine,
    device: Device,
    holding: Holding,
    client: str,
    boot: str | None = None,
    silent_for: timedelta = clones.SILENT_FOR,
) -> bool:
    """Write down that a device was seen, and with what, unless that is known and fresh; whether it is written now.

    It is not where others are writing or the disk is full: a poll needs neither. Where two machines use the device's
    identity, only what one of them says is written, until it is silent for so long.
    """
    moment, known = utc_now(), clones.Boots(device.boot, device.former_boot, device.cloned_at)
    claims = asdict(holding) | {"client": client}
    boots, believed = clones.after(known, boot, device.last_seen, moment, silent_for)
    values = asdict(boots) | (claims | {"last_seen": moment} if believed else {})
    if not any(_is_news(getattr(device, name), value) for name, value in values.items()):
        return True
    try:
        with writing(engine, SEEN_WAIT_SECONDS) as session:
            said = update(Device).where(Device.id == device.id).values(**values)
            session.execute(said.execution_options(**UNTOLD))
    except OperationalError:
        return False
    return True


def _is_news(known: Any, value: Any) -> bool:
    """Tell whether a value is worth writing down; a moment is if the one that is known is no longer fresh."""
    if isinstance(known, datetime) and isinstance(value, datetime):
        return value - known >= SEEN_FRESH
    return bool(known != value)


@dataclass(frozen=True)
class Seen:
    """A device that said at a moment what its row says, as far as somebody remembers: of nothing new."""

    device: str
    moment: datetime
    holding: Holding
    client: str
    boot: str | None


def see(session: Session, seen: Sequence[Seen]) -> None:
    """Write down when devices were seen, with what they said, unless they, or another machine, were heard since.

    What they said is written as well: another process may have heard something else of them in between.
    """
    table = cast(Table, Device.__table__)
    in_order = sorted(seen, key=lambda one: one.device)  # so that no two processes wait for each other
    rows = [
        vars(one.holding) | {"id": one.device, "client": one.client, "boot": one.boot, "last_seen": one.moment}
        for one in in_order
    ]
    given = given_rows(session, table, rows)
    earlier = or_(table.c.last_seen.is_(None), table.c.last_seen < given.c.last_seen)
    same = table.c.boot.is_not_distinct_from(given.c.boot)
    values = {name: given.c[name] for name in ("digest", "previous", "stage", "client", "last_seen")}
    session.connection().execute(update(table).where(table.c.id == given.c.id, earlier, same).values(values))


def record_reports(session: Session, reports: Sequence[Report]) -> list[Report]:
    """Record reports, each of the device that it names; one that came before is returned as it was.

    The update that one is about is under way no more; errors in the field are about none.
    """
    # First, so that of two that come at once the second sees the first; in one order, so that none wait for each other.
    named = {report.device_id for report in reports}
    session.execute(select(Device.id).where(Device.id.in_(named)).order_by(Device.id).with_for_update(key_share=True))
    ended = {report.device_id for report in reports if report.stage != FIELD}
    moment = utc_now()
    for ids, values in ((ended, {"stage": None}), (named - ended, {})):
        if ids:
            said = update(Device).where(Device.id.in_(ids)).values(last_seen=moment, **values)
            session.execute(said.execution_options(**UNTOLD, synchronize_session=False))
    first = _reported(session, reports)
    recorded = [first.setdefault((report.device_id, report.report_id or id(report)), report) for report in reports]
    _note_outcomes(session, [report for report in recorded if report.id is None])
    session.add_all(recorded)
    session.flush()
    return recorded


def _note_outcomes(session: Session, new: Sequence[Report]) -> None:
    """Write down how the last update of each device ended."""
    last = {report.device_id: report.stage for report in new if report.stage != FIELD}
    for outcome in sorted(set(last.values())):
        ids = [device for device, stage in last.items() if stage == outcome]
        ended = update(Device).where(Device.id.in_(ids)).values(outcome=outcome)
        session.execute(ended.execution_options(**UNTOLD, synchronize_session=False))


def _reported(session: Session, reports: Sequence[Report]) -> dict[tuple[str, str | int], Report]:
    """Return those that came before, by what they are known by."""
    wanted = {(report.device_id, report.report_id) for report in reports if report.report_id is not None}
    if not wanted:
        return {}
    devices, ids = zip(*wanted, strict=True)
    rows = session.scalars(select(Report).where(Report.device_id.in_(devices), Report.report_id.in_(ids)))
    return {(row.device_id, row.report_id): row for row in rows if row.report_id is not None}


def is_silent(device: Device, moment: datetime, longest: timedelta) -> bool:
    """Tell whether a device has said nothing for longer than that, in the middle of an update."""
    return device.stage is not None and device.last_seen is not None and moment - device.last_seen > longest


def named(model: str, beginning: str) -> ColumnElement[bool]:
    """Tell which of a model's devices have an id or a name that begins so, each by its own index."""
    found = [select(Device.id).where(Device.model == model, begins(Device.name, beginning))]
    if HEX.fullmatch(beginning):
        found.append(select(Device.id).where(Device.id >= beginning, Device.id < f"{beginning}g"))
    return Device.id.in_(union_all(*found))


def standings(
    session: Session, model: str, after: str, limit: int, longest: timedelta, which: Which | None = None
) -> Sequence[Standing]:
    """The model's devices in the order of their enrolment, from the one after `after` (an id or "").

    A device may be silent for as long as `longest` in the middle of an update.
    """
    which = which or Which()
    chosen = select(Device.id).where(Device.model == model, Device.id > after).order_by(Device.id).limit(limit)
    chosen = chosen.where(*which.conditions)
    if not which.left:
        chosen = chosen.where(Device.left_at.is_(None))
    if which.channel is not None:
        chosen = chosen.where(Device.channel == which.channel)
    chosen = chosen.where(*(has_attribute(name, [value], after) for name, value in which.attributes.items()))
    # Chosen first, so that only a page's devices are joined with their versions and reports.
    page = chosen.subquery()
    return _standing(session, _standings().join(page, page.c.id == Device.id).order_by(Device.id), longest)


def has_attribute(name: str, values: Iterable[str], after: str = "") -> ColumnElement[bool]:
    """Tell which devices have an attribute of one of these values, as a condition of a query.

    A query of devices whose ids come after one says so here as well: PostgreSQL does not conclude it for attributes.
    """
    have = and_(Attribute.name == name, Attribute.value.in_(sorted(values)))
    return Device.attributes.any(and_(have, Attribute.device_id > after) if after else have)


def standing(session: Session, device_id: str, longest: timedelta) -> Standing:
    """The device of that id, also one that left; raises NotFound."""
    find(session, device_id)
    return _standing(session, _standings().where(Device.id == device_id), longest)[0]


def last_reports(session: Session, device_id: str, limit: int) -> Sequence[Report]:
    """The last reports of a device, the latest first."""
    latest = select(Report).where(Report.device_id == device_id).order_by(Report.id.desc())
    return session.scalars(latest.limit(limit)).all()


def _standings() -> Select[Device, int, int, Report]:
    of_updates = select(func.max(Report.id)).where(Report.device_id == Device.id, Report.stage != FIELD)
    latest = of_updates.correlate(Device).scalar_subquery()
    last, runs, keeps = aliased(Report), aliased(Version), aliased(Version)
    return (
        select(Device, runs.number, keeps.number, last)
        .outerjoin(runs, and_(runs.model == Device.model, runs.digest == Device.digest))
        .outerjoin(keeps, and_(keeps.model == Device.model, keeps.digest == Device.previous))
        .outerjoin(last, last.id == latest)
        .options(selectinload(Device.attributes))
    )


def _standing(session: Session, query: Select[Device, int, int, Report], longest: timedelta) -> list[Standing]:
    moment = utc_now()
    return [
        Standing(
            device, number, kept, last, is_silent(device, moment, longest), clones.are_clones(device.cloned_at, moment)
        )
        for device, number, kept, last in session.execute(query)
    ]


def _new_id() -> str:
    # The time comes first so that devices sort in the order of their enrolment.
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
