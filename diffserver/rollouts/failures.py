"""Why updates did not come off, of a model's devices, whichever version they were to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from diffserver.storage.tables import Device, Report

STAGES = ("failed", "rolled_back", "postponed")


@dataclass(frozen=True)
class Failures:
    """Reports of one kind, and the devices that made them; `at` is the stage of the update."""

    stage: str
    at: str | None
    cause: str | None
    reports: int
    devices: int


def failures(session: Session, model: str, since: datetime) -> Sequence[Failures]:
    """Return the failures of a model's devices from a moment on, the most frequent first."""
    kinds, reports = (Report.stage, Report.failed_stage, Report.cause), func.count()
    query = (
        select(*kinds, reports, func.count(distinct(Report.device_id)))
        .join(Device, Device.id == Report.device_id)
        .where(Report.stage.in_(STAGES), Report.created_at >= since, Device.model == model)
        .group_by(*kinds)
        .order_by(reports.desc(), *kinds)
    )
    return [Failures(*row) for row in session.execute(query)]
