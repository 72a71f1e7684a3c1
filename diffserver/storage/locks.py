"""Locks on a number, which a transaction holds until it ends."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def exclusive(session: Session, key: int) -> None:
    """Lock `key` against other writing transactions until this one ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(key)))
    # SQLite has a single writer anyway.
