"""Changes of what other processes remember, told in the transaction that makes them.

A session that writes notes which rows it changes. Every column counts but those named here, so that a new one is told
of until somebody says that nobody remembers it. News have numbers in the order of their commits: whoever has read up
to one has missed none before it. Reading them, and forgetting, is left to `polls`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import delete, event, insert, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from diffserver.storage import tables
from diffserver.storage.column_types import Base
from diffserver.storage.locks import exclusive

Topic = Literal["token", "device", "model", "metadata"]
"""What can change: who a token is, by its SHA-256; a device, told as its tokens; what a model's devices are
answered; signed metadata."""

TOPICS: Sequence[Topic] = get_args(Topic)

KEPT = 10_000
"""The news that stay; a process that is further behind forgets everything."""

UNTOLD = {"told": False}
"""The execution options of an update or delete of rows or columns that nobody remembers."""

# An arbitrary number that no other lock uses.
LOCK = 0x6E646368


@dataclass(frozen=True)
class News:
    """A change; without a key, of everything in its topic."""

    topic: Topic
    key: str | None


@dataclass(frozen=True)
class Remembered:
    """What processes remember of a table: under which topic, by which column, and which columns they do not."""

    topic: Topic
    key: str | None
    besides: frozenset[str] = frozenset()
    new: bool = True
    """Whether a new row is news; not where nobody remembers that there is none."""


REMEMBERED: Mapping[type[Base], Remembered] = {
    tables.Channel: Remembered("model", "model", frozenset({"two_persons", "moved_at"})),
    tables.Rollout: Remembered("model", "model", frozenset({"reason", "chosen", "verdict", "approved_by", "stage_at"})),
    tables.Step: Remembered("model", "model"),
    tables.Version: Remembered("model", "model", frozenset({"metadata_bytes"})),
    tables.Model: Remembered("model", "name"),
    tables.RoleMetadata: Remembered("metadata", None),
    tables.Token: Remembered("token", "sha256", frozenset({"used"}), new=False),
    tables.Attribute: Remembered("device", "device_id"),
    tables.Device: Remembered(
        "device",
        "id",
        frozenset(
            {
                "name",
                "digest",
                "previous",
                "stage",
                "client",
                "last_seen",
                "boot",
                "former_boot",
                "cloned_at",
                "outcome",
            }
        ),
        new=False,
    ),
}


class TellingSession(Session):
    """A session that tells of what it changed when it commits."""


def read(session: Session, after: int, limit: int) -> Sequence[tuple[int, News]]:
    """Return the news after a number, the first ones first, each with its own."""
    rows = select(tables.Change).where(tables.Change.id > after).order_by(tables.Change.id).limit(limit)
    return [(row.id, News(row.topic, row.key)) for row in session.scalars(rows)]  # type: ignore[arg-type]


def latest(session: Session) -> int:
    """Return the number of the last news; 0 if there are none yet."""
    return session.scalar(select(tables.Change.id).order_by(tables.Change.id.desc()).limit(1)) or 0


@event.listens_for(TellingSession, "after_flush")
def _note_rows(session: Session, _context: object) -> None:
    _noted(session).update(_of_rows(session))


@event.listens_for(TellingSession, "do_orm_execute")
def _note_statement(state: ORMExecuteState) -> None:
    """Note an update or a delete by statement, which may be of any row."""
    known = REMEMBERED.get(state.bind_mapper.class_) if state.bind_mapper else None
    writes = state.is_update or state.is_delete or (state.is_insert and known is not None and known.new)
    if known and writes and state.execution_options.get("told", True):
        _noted(state.session).add(News("token" if known.topic == "device" else known.topic, None))


@event.listens_for(TellingSession, "before_commit")
def _tell(session: Session) -> None:
    """Write the news, as the last thing: the lock puts their numbers in the order of the commits."""
    if session.in_nested_transaction():
        return
    session.flush()
    noted = session.info.pop("noted", None)
    if not noted:
        return
    news = sorted(_told(session, noted), key=lambda one: (one.topic, one.key or ""))
    exclusive(session, LOCK)
    rows = [{"topic": one.topic, "key": one.key} for one in news]
    number = max(session.scalars(insert(tables.Change).returning(tables.Change.id), rows), default=0)
    session.execute(delete(tables.Change).where(tables.Change.id <= number - KEPT))
    session.info["told"] = True


@event.listens_for(TellingSession, "after_commit")
def _tell_own_process(session: Session) -> None:
    if session.info.pop("told", False):
        on_change = session.get_bind().get_execution_options().get("on_change")
        if on_change:
            on_change()


def _noted(session: Session) -> set[News]:
    noted: set[News] = session.info.setdefault("noted", set())
    return noted


def _of_rows(session: Session) -> Iterator[News]:
    """The news of the rows that a flush wrote."""
    fresh = {row.id for row in session.new if isinstance(row, tables.Device)}
    written = [(row, REMEMBERED[type(row)]) for row in (*session.new, *session.dirty) if type(row) in REMEMBERED]
    news = [(row, known) for row, known in written if (known.new if row in session.new else _changed(row, known))]
    gone = [(row, REMEMBERED[type(row)]) for row in session.deleted if type(row) in REMEMBERED]
    for row, known in news + gone:
        key = known.key and getattr(row, known.key)
        if known.topic != "device" or key not in fresh:
            yield News(known.topic, key)


def _changed(row: Base, known: Remembered) -> bool:
    attributes = inspect(row).attrs  # relationships as well: a device that lost an attribute
    return any(attribute.history.has_changes() for attribute in attributes if attribute.key not in known.besides)


def _told(session: Session, noted: set[News]) -> set[News]:
    """Put a device's tokens in its place: by them it is remembered."""
    devices = [one.key for one in noted if one.topic == "device"]
    told = {one for one in noted if one.topic != "device"}
    if devices:
        of_devices = select(tables.Token.sha256).where(tables.Token.device_id.in_(devices))
        told.update(News("token", sha256) for sha256 in session.scalars(of_devices))
    return told
