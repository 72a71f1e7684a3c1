"""The database: one engine, and transactions that either read or write.

SQLite and PostgreSQL behave alike behind this module: foreign keys hold, a writer waits for the writer before
it, for as long as its engine's option `wait_seconds` says, and a reader never blocks. The schema is left to `tables`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, make_url, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from diffserver.storage.changes import TellingSession
from diffserver.storage.functions import NAME, leading_bits_of

WAIT_SECONDS = 30


def connect(url: str) -> Engine:
    """Return the engine for a SQLite or PostgreSQL URL; connections are opened on demand."""
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    engine = create_engine(url, pool_size=10, max_overflow=30, connect_args={"timeout": WAIT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Yield a session for reading; its rows stay usable afterwards."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine, wait_seconds: float | None = None) -> Iterator[Session]:
    """Yield a session whose writes are committed together at the end, or rolled back after an error.

    What it changes is told (see `changes`), to the engine's own process at once, by the option `on_change`.
    Raises OperationalError if others write for longer than `wait_seconds`, by default the engine's.
    """
    wait = {} if wait_seconds is None else {"wait_seconds": wait_seconds}
    writes = engine.execution_options(writes=True, **wait)
    with TellingSession(writes, expire_on_commit=False) as session, session.begin():
        yield session


def now(session: Session) -> datetime:
    """Return the database server's time in UTC, since workers' clocks differ."""
    if session.get_bind().dialect.name == "postgresql":
        moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def in_order(query: Select[Any], number: InstrumentedAttribute[int], after: int, newest: bool = False) -> Select[Any]:
    """Return the query for rows that come after a number, or with `newest` before it (of 0, from the last one)."""
    if newest:
        earlier = query.where(number < after) if after > 0 else query
        return earlier.order_by(number.desc())
    return query.where(number > after).order_by(number)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: the listener below does, in the mode that is needed.
    connection.isolation_level = None
    connection.create_function(NAME, 1, leading_bits_of, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail, not wait, if another wrote in between.
    options = connection.get_execution_options()
    writes, wait_seconds = options.get("writes", False), options.get("wait_seconds", WAIT_SECONDS)
    _set(connection, f"PRAGMA busy_timeout = {round(wait_seconds * 1000)}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    wait_seconds = connection.get_execution_options().get("wait_seconds")
    if wait_seconds is not None:
        _set(connection, f"SET LOCAL lock_timeout = {max(1, round(wait_seconds * 1000))}")


def _set(connection: Connection, setting: str) -> None:
    # By the driver itself: no statement of anyone's.
    cursor = connection.connection.cursor()
    cursor.execute(setting)
    cursor.close()
