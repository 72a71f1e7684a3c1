"""Quotas: how much one device may report in an hour and in a day.

Requests that come at the same moment are each judged by what was there before, so that a few more may pass.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diffserver.errors import TooMany
from diffserver.settings import Quotas
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Report


def refused(session: Session, devices: Collection[str], quotas: Quotas) -> dict[str, TooMany]:
    """Return those of some devices that have reported as much as they may for now, each with the refusal."""
    day_ago = utc_now() - timedelta(days=1)
    within = select(Report.device_id).where(Report.device_id.in_(devices), Report.created_at > day_ago)
    many = func.count() >= min(quotas.reports_per_hour, quotas.reports_per_day)
    refusals = {}
    for device in session.scalars(within.group_by(Report.device_id).having(many)).all():
        try:
            require_reports(session, device, quotas)
        except TooMany as refusal:
            refusals[device] = refusal
    return refusals


def require_reports(session: Session, device_id: str, quotas: Quotas) -> None:
    """Raise TooMany if a device has reported as much as it may for now."""
    moment = utc_now()
    for count, window, name in (
        (quotas.reports_per_hour, timedelta(hours=1), "an hour"),
        (quotas.reports_per_day, timedelta(days=1), "a day"),
    ):
        wait = wait_seconds(_nth_latest(session, device_id, count), window, moment)
        if wait:
            raise TooMany(f"a device may make {count} reports in {name}", wait)


def wait_seconds(nth_latest: datetime | None, window: timedelta, moment: datetime) -> int:
    """Return the seconds until the n-th latest event is older than the window, in which n are allowed; 0 if it is."""
    if nth_latest is None:
        return 0
    return max(0, ceil((nth_latest + window - moment).total_seconds()))


def _nth_latest(session: Session, device_id: str, count: int) -> datetime | None:
    moments = select(Report.created_at).where(Report.device_id == device_id).order_by(Report.id.desc())
    return session.scalar(moments.offset(count - 1).limit(1))
