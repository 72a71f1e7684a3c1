"""Counts devices by version once an hour, by one replica."""

from __future__ import annotations

from sqlalchemy import Engine

from diffserver.rollouts import tallies
from diffserver.storage import leases
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing

LEASE = "tallies"
LEASE_SECONDS = 60.0
PASS_SECONDS = 60.0


def tally(engine: Engine, holder: str) -> None:
    """Count, unless it was done in this hour or another replica does."""
    moment = utc_now()
    with reading(engine) as session:
        counted = tallies.is_counted(session, moment)
    if counted or not leases.claim(engine, LEASE, holder, LEASE_SECONDS):
        return
    with writing(engine) as session:
        if not tallies.is_counted(session, moment):
            tallies.count(session, moment)
