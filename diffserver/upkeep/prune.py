"""Pruning: the rows and objects that the rules of `retention` let go, first as a plan, then removed.

Rows go in small transactions, then the objects that no row names by then. What changed since the plan was made stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, and_, delete, func, select, union, update
from sqlalchemy.orm import Session

from diffserver.catalog.jobs import saved_states
from diffserver.rollouts.records import UNDER_WAY
from diffserver.settings import Retention
from diffserver.storage.changes import UNTOLD
from diffserver.storage.database import reading, writing
from diffserver.storage.object_store import Objects, Stored
from diffserver.storage.tables import (
    FIELD,
    Attribute,
    Audit,
    Candidate,
    Channel,
    Device,
    Event,
    Report,
    Rollout,
    Shortcut,
    Token,
    Training,
    Version,
)
from diffserver.upkeep.named_bytes import named_objects
from diffserver.upkeep.retention import (
    Aged,
    CandidateRow,
    ReportRow,
    older,
    stale_candidates,
    stale_objects,
    stale_reports,
)

BATCH = 500
"""Rows of one transaction, so that no one waits for long."""

ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Plan:
    """The rows and objects that would go; with devices, their last reports and their tokens."""

    reports: Sequence[Aged]
    devices: Sequence[Aged]
    tokens: Sequence[Aged]
    trainings: Sequence[Aged]
    candidates: Sequence[Aged]
    audit: Sequence[Aged]
    events: Sequence[Aged]
    objects: Sequence[Stored]
    unfinished: Sequence[Path]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return the number of each kind, and their bytes."""
        names = ("reports", "devices", "tokens", "trainings", "candidates", "audit", "events")
        rows = {name: getattr(self, name) for name in names}
        return {
            **{name: (len(doomed), sum(row.bytes for row in doomed)) for name, doomed in rows.items()},
            "objects": (len(self.objects), sum(item.length for item in self.objects)),
            "unfinished files": (len(self.unfinished), sum(path.stat().st_size for path in self.unfinished)),
        }


def plan(engine: Engine, objects: Objects, keep: Retention, moment: datetime) -> Plan:
    """Return what would go at a moment; changes nothing."""

    def ago(days: int) -> datetime:
        return moment - timedelta(days=days)

    # Listed before rows are read: an object that is younger than the list is not in it.
    stored = list(objects.list_all())
    with reading(engine) as session:
        candidates = stale_candidates(list(_candidates(session)), _heads(session), ago(keep.candidates))
        named = named_objects(session, {int(row.id) for row in candidates})
        return Plan(
            reports=stale_reports(_reports(session), ago(keep.reports), keep.reports_each),
            devices=older(_devices(session), ago(keep.devices)),
            tokens=older(_tokens(session), ago(keep.tokens)),
            trainings=older(_trainings(session), ago(keep.trainings)),
            candidates=candidates,
            audit=older(_audit(session), ago(keep.audit)),
            events=older(_events(session), ago(keep.events)),
            objects=stale_objects(stored, {*named, *saved_states.objects(session)}, ago(keep.uploads)),
            unfinished=objects.unfinished(ago(1)),
        )


def carry_out(engine: Engine, objects: Objects, planned: Plan) -> None:
    """Remove what was planned, unless it changed meanwhile."""
    for ids in _batches(planned.devices):
        _remove_devices(engine, ids, {row.id: row.since for row in planned.devices})
    for ids in _batches(planned.reports):
        _run(engine, delete(Report).where(Report.id.in_(ids)))
    for ids in _batches(planned.tokens):
        _run(engine, delete(Token).where(Token.id.in_(ids)).execution_options(**UNTOLD))  # none of them is valid
    for ids in _batches(planned.trainings):
        _run(engine, delete(Training).where(Training.id.in_(ids), Training.state.in_(ENDED)))
    for ids in _batches(planned.candidates):
        _remove_candidates(engine, ids)
    for ids in _batches(planned.audit):
        _run(engine, delete(Audit).where(Audit.id.in_(ids)))
    for ids in _batches(planned.events):
        _run(engine, delete(Event).where(Event.id.in_(ids)))
    with reading(engine) as session:
        named = {*named_objects(session), *saved_states.objects(session)}
    for item in planned.objects:
        if item.sha256 not in named and objects.find(item.sha256) == item:
            objects.remove(item.sha256)
    for path in planned.unfinished:
        path.unlink(missing_ok=True)


def _reports(session: Session) -> Iterator[ReportRow]:
    size = func.coalesce(func.length(Report.reason), 0)
    field = Report.stage == FIELD
    rows = select(Report.id, Report.created_at, size, Report.device_id, field)
    ordered = rows.order_by(Report.device_id, field, Report.id.desc()).execution_options(yield_per=10_000)
    return (ReportRow(*row) for row in session.execute(ordered))


def _devices(session: Session) -> Iterator[Aged]:
    seen = func.coalesce(Device.last_seen, Device.enrolled_at, type_=Device.enrolled_at.type)
    return (Aged(*row) for row in session.execute(select(Device.id, seen).order_by(Device.id)))


def _tokens(session: Session) -> Iterator[Aged]:
    for row in session.execute(select(Token.id, Token.revoked_at, Token.expires_at)):
        if ended := min(filter(None, (row.revoked_at, row.expires_at)), default=None):
            yield Aged(row.id, ended)


def _trainings(session: Session) -> Iterator[Aged]:
    ended = select(Training.id, Training.finished_at).where(Training.state.in_(ENDED))
    return (Aged(row.id, row.finished_at) for row in session.execute(ended) if row.finished_at)


def _audit(session: Session) -> Iterator[Aged]:
    return (Aged(*row) for row in session.execute(select(Audit.id, Audit.at)))


def _events(session: Session) -> Iterator[Aged]:
    return (Aged(*row) for row in session.execute(select(Event.id, Event.created_at)))


def _candidates(session: Session) -> Iterator[CandidateRow]:
    cuts = select(func.coalesce(func.sum(func.length(Shortcut.data)), 0)).where(Shortcut.candidate_id == Candidate.id)
    size = func.coalesce(Candidate.payload_length, 0) + cuts.scalar_subquery()
    rows = select(Candidate, size.label("size")).where(Candidate.state == "open")
    for row, size_of in session.execute(rows):
        full = row.kind == "update" and row.method == "full"
        yield CandidateRow(row.id, row.created_at, size_of, row.model, row.number, full, tuple(row.domains))


def _heads(session: Session) -> dict[str, int]:
    """By model, the lowest number of what its channels stand at, or are about to."""
    standing = select(Channel.model, Channel.digest)
    coming = select(Rollout.model, Rollout.to_digest).where(Rollout.state.in_(UNDER_WAY))
    heads = union(standing, coming).subquery()
    pointing = and_(heads.c.model == Version.model, heads.c.digest == Version.digest)
    lowest = select(Version.model, func.min(Version.number).label("number")).join(heads, pointing)
    return {row.model: row.number for row in session.execute(lowest.group_by(Version.model))}


def _batches(rows: Sequence[Aged]) -> Iterator[list[Any]]:
    ids = iter(row.id for row in rows)
    while batch := list(islice(ids, BATCH)):
        yield batch


def _run(engine: Engine, statement: Any) -> None:
    with writing(engine) as session:
        session.execute(statement)


def _remove_devices(engine: Engine, ids: Sequence[str], since: dict[Any, datetime]) -> None:
    """Remove devices with all that is theirs, but those that were seen meanwhile."""
    with writing(engine) as session:
        rows = session.scalars(select(Device).where(Device.id.in_(ids)).with_for_update())
        still = [row.id for row in rows if (row.last_seen or row.enrolled_at) == since[row.id]]
        for of_device in (Attribute, Report, Token):
            session.execute(delete(of_device).where(of_device.device_id.in_(still)))
        session.execute(delete(Device).where(Device.id.in_(still)))


def _remove_candidates(engine: Engine, ids: Sequence[int]) -> None:
    """Remove candidates with their short cuts, but those that were published meanwhile."""
    with writing(engine) as session:
        unpublished = and_(Candidate.id.in_(ids), Candidate.state == "open")
        still = session.scalars(select(Candidate.id).where(unpublished).with_for_update()).all()
        session.execute(update(Training).where(Training.candidate_id.in_(still)).values(candidate_id=None))
        session.execute(delete(Shortcut).where(Shortcut.candidate_id.in_(still)))
        session.execute(delete(Candidate).where(Candidate.id.in_(still)))
