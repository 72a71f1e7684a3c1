"""Copy all rows from one database to another with the same tables, be they SQLite or PostgreSQL.

A copy sees one moment of its source, whatever others write meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, LargeBinary, Table, delete, func, insert, select, text

from diffserver.storage.tables import METADATA

BATCH = 1000
"""Rows that are held at once, of tables without payloads."""

OnRows = Callable[[int], object]
"""Called with how many rows are copied so far."""


@contextmanager
def one_moment(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose reads all see the database as it was at the first of them."""
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect() as connection:
        yield connection.execution_options(**level)


def count_rows(connection: Connection) -> dict[str, int]:
    """Return the number of rows by table."""
    counts = ((table.name, select(func.count()).select_from(table)) for table in METADATA.sorted_tables)
    return {name: connection.execute(count).scalar_one() for name, count in counts}


def copy_rows(source: Connection, target: Connection, on_rows: OnRows = lambda _: None) -> None:
    """Copy the rows of all tables, which must be empty in the target; the caller commits."""
    copied = 0
    for table in METADATA.sorted_tables:
        size = 1 if any(isinstance(column.type, LargeBinary) for column in table.columns) else BATCH
        found = source.execution_options(stream_results=True).execute(select(table))
        for rows in found.mappings().partitions(size):
            target.execute(insert(table), [dict(row) for row in rows])
            on_rows(copied := copied + len(rows))
        _go_on_counting(target, table)


def clear(target: Connection) -> None:
    """Delete the rows of all tables; the caller commits."""
    if target.dialect.name == "postgresql":  # which looks up each deleted row's keys in the other tables
        target.execute(text(f"TRUNCATE {', '.join(METADATA.tables)}"))
        return
    for table in reversed(METADATA.sorted_tables):
        target.execute(delete(table))


def _go_on_counting(target: Connection, table: Table) -> None:
    """Let numbers that the database gives go on after those that were copied; SQLite does so by itself."""
    column = table.autoincrement_column
    if column is not None and target.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        highest = select(func.setval(sequence, func.max(column))).having(func.max(column).is_not(None))
        target.execute(highest)
