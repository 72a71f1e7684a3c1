"""The clock by which metadata is signed: refused where it is known to be behind, as what it signs would be expired.

No right clock is before this code was written, or before the last time that anything was signed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from diffserver.errors import ClockBehind
from diffserver.storage.database import now
from diffserver.storage.tables import RoleMetadata

WRITTEN = datetime(2025, 1, 1, tzinfo=UTC)
"""Some time before this code was written."""

MINUTES = "%Y-%m-%d %H:%M"

SLACK = timedelta(hours=1)
"""By which the clocks of a database's hosts may differ."""


def signing_time(session: Session) -> datetime:
    """The database's time, to sign metadata by; raises ClockBehind."""
    moment = now(session)
    require_not_behind(moment, {"this release was made": WRITTEN, "metadata was last signed": _last_signed(session)})
    return moment


def require_not_behind(moment: datetime, known: Mapping[str, datetime | None]) -> None:
    """Raise ClockBehind if a moment lies before what is known to have happened."""
    for what, then in known.items():
        if then is not None and moment < then - SLACK:
            raise ClockBehind(
                f"the clock of the server's database says {moment:{MINUTES}} UTC, before {what} ({then:{MINUTES}})",
                "set that machine's clock, nothing was signed; if it is right now and was ahead then, run where the "
                "server is: diffserver keys accept-clock",
            )


def accept(session: Session) -> datetime:
    """Take the database's time for right, though metadata was signed later by a clock that was ahead; returns it.

    Raises ClockBehind if the time is before this code was written.
    """
    moment = now(session)
    require_not_behind(moment, {"this release was made": WRITTEN})
    session.execute(update(RoleMetadata).where(RoleMetadata.created_at > moment).values(created_at=moment))
    return moment


def _last_signed(session: Session) -> datetime | None:
    return session.scalar(select(func.max(RoleMetadata.created_at)))
