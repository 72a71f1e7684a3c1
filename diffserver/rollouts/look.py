"""One look at a rollout: the gate's verdict on what devices report, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.gate.judge import Reports, Verdict, goes_on, judge, judge_failures
from diffserver.rollouts import records
from diffserver.rollouts.evidence import gather
from diffserver.rollouts.plan import Conditions, from_json, stages_of
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Look, Rollout

Move = Literal["stays", "goes on", "aborted", "done"]


def look(session: Session, rollout: Rollout) -> Move:
    """Judge a rollout that runs and write the verdict down; enter the next stage or abort, as it says."""
    moment, conditions = utc_now(), from_json(rollout.terms)
    verdict = _verdict(gather(session, rollout), conditions, len(rollout.stages), rollout.chosen)
    rollout.verdict = _plain(verdict, moment)
    _keep(session, rollout)
    if verdict.finding == "harm":
        records.abort(session, rollout, f"harm: {verdict.reason}", by=None)
        return "aborted"
    if not _may_go_on(rollout, conditions, moment):
        return "stays"
    if conditions.evidence == "field" and not goes_on(verdict, _next_share(session, rollout), conditions.terms()):
        return "stays"
    if verdict.finding == "inconclusive":
        return "stays"
    records.enter(session, rollout, rollout.stage + 1, by=None)
    return "done" if rollout.state == "done" else "goes on"


def _keep(session: Session, rollout: Rollout) -> None:
    """Write down what the gate says now, if it is something new."""
    said = rollout.verdict or {}
    new = (rollout.stage, said["finding"], said["low"], said["high"])
    last = session.scalars(select(Look).where(Look.rollout_id == rollout.id).order_by(Look.id.desc()).limit(1)).first()
    if last is None or (last.stage, last.finding, last.low, last.high) != new:
        session.add(Look(rollout_id=rollout.id, stage=new[0], finding=new[1], low=new[2], high=new[3]))


def looks(session: Session, rollout_id: int, most: int) -> list[Look]:
    """Return what the gate said over time, thinned out evenly to so many, with the last."""
    rows = session.scalars(select(Look).where(Look.rollout_id == rollout_id).order_by(Look.id.desc())).all()
    return list(reversed(rows[:: max(1, math.ceil(len(rows) / most))]))


def _verdict(reports: Reports, conditions: Conditions, stages: int, chosen: int) -> Verdict:
    if conditions.evidence == "field":
        return judge(reports, conditions.terms(), stages)
    if conditions.evidence == "failures":
        return judge_failures(reports, conditions.terms(), stages, min(conditions.least, max(1, chosen)))
    return Verdict("no evidence of harm", "nothing is looked at: the stage ends after its wait")


def _may_go_on(rollout: Rollout, conditions: Conditions, moment: datetime) -> bool:
    """Tell whether a stage follows, this one has lasted for long enough, and devices may be given the version now."""
    if records.is_last(rollout, rollout.stage):
        return False
    began, hours = rollout.stage_at or rollout.created_at, conditions.hours()
    return moment - began >= timedelta(seconds=conditions.wait_seconds) and (hours is None or hours.is_open(moment))


def _next_share(session: Session, rollout: Rollout) -> float:
    """Return the share of the devices that it is for which have the version in the next stage."""
    following = stages_of(rollout.stages)[rollout.stage + 1]
    if following.share is not None:
        return following.share
    devices = records.of_channel(session, rollout)
    if following.count is not None:
        return following.count / max(1, len(devices))
    return (rollout.chosen + sum(following.attribute in named for named in devices.values())) / max(1, len(devices))


def _plain(verdict: Verdict, moment: datetime) -> dict[str, Any]:
    bounds = {name: None if math.isinf(bound := getattr(verdict, name)) else bound for name in ("low", "high")}
    return asdict(verdict) | bounds | {"at": moment.isoformat()}
