"""Rollouts: a version's way through a channel in stages, for operators to start, watch and stop."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffserver.api.access import (
    AfterNumber,
    Database,
    Keys,
    Limit,
    Publisher,
    TokenFirst,
    Viewer,
    Writing,
    numbered,
    page,
)
from diffserver.api.answers import LookAnswer, Page, RolloutAnswer
from diffserver.api.fields import ModelName, Name, RowId
from diffserver.api.problems import CALLER, declared
from diffserver.api.proofs import proof_of
from diffserver.api.requests import ReasonRequest, RolloutRequest
from diffserver.catalog import audit
from diffserver.catalog.versions import find_model
from diffserver.rollouts import records
from diffserver.rollouts.look import looks
from diffserver.rollouts.progress import progress
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Rollout, Token
from diffserver.trust import releases

router = APIRouter(prefix="/v1", tags=["rollouts"], route_class=TokenFirst, responses=declared(*CALLER))

LOOKS = 300


@router.post("/models/{model}/rollouts", status_code=201, dependencies=[Writing], responses=declared(404, 409))
def start_rollout(
    model: ModelName, body: RolloutRequest, engine: Database, keys: Keys, who: Publisher
) -> RolloutAnswer:
    """Lead a channel in stages to a version that was published, and sign what devices may go back to.

    Where the channel asks for two persons, the rollout waits for another one's approval.
    """
    with writing(engine) as session:
        started = releases.start_rollout(session, keys, model, body.version, body.way(), who.name, proof_of(body))
        details = {"version": body.version, "stages": body.stages, "only": body.conditions.only}
        audit.record(session, who, "rollout.start", model, rollout=started.id, **details)
        return _shown(session, started)


@router.get("/rollouts", responses=declared(404))
def list_rollouts(
    engine: Database,
    _who: Viewer,
    model: Annotated[Name | None, Query(description="Of this model only.")] = None,
    limit: Limit = 100,
    after: AfterNumber = 0,
) -> Page[RolloutAnswer]:
    """Rollouts, oldest first, those too that have ended."""
    with reading(engine) as session:
        if model is not None:
            find_model(session, model)
        rows = [_shown(session, rollout) for rollout in numbered(session, Rollout, model, limit, after)]
    return page(rows, limit, RolloutAnswer, lambda rollout: rollout.id)


@router.get("/rollouts/{rollout_id}", responses=declared(404))
def get_rollout(rollout_id: RowId, engine: Database, _who: Viewer) -> RolloutAnswer:
    """One rollout: its stage, the gate's last verdict and what is missing, and what became of the devices."""
    with reading(engine) as session:
        return _shown(session, records.find(session, rollout_id))


@router.get("/rollouts/{rollout_id}/looks", responses=declared(404))
def list_looks(rollout_id: RowId, engine: Database, _who: Viewer) -> Page[LookAnswer]:
    """What the gate said over time, oldest first: where it said something new, 300 of them at most, evenly chosen."""
    with reading(engine) as session:
        stages = records.find(session, rollout_id).stages
        rows = looks(session, rollout_id, LOOKS)
    said = [
        LookAnswer(stage=stages[row.stage], finding=row.finding, low=row.low, high=row.high, at=row.at) for row in rows
    ]
    return Page(items=said, next=None)


@router.post("/rollouts/{rollout_id}/approve", dependencies=[Writing], responses=declared(404, 409))
def approve_rollout(rollout_id: RowId, engine: Database, keys: Keys, who: Publisher) -> RolloutAnswer:
    """Let a rollout go on by hand: to begin as a second person, or to its next stage whatever the gate says."""

    def approve(session: Session, rollout: Rollout) -> None:
        records.approve(session, rollout, who.name)
        if rollout.state == "done":
            releases.settle(session, keys, rollout.model)

    return _changed(engine, rollout_id, who, "approve", approve)


@router.post("/rollouts/{rollout_id}/pause", dependencies=[Writing], responses=declared(404, 409))
def pause_rollout(rollout_id: RowId, body: ReasonRequest, engine: Database, who: Publisher) -> RolloutAnswer:
    """Give the version to no further device; those that have it keep it."""

    def pause(session: Session, rollout: Rollout) -> None:
        records.pause(session, rollout, body.reason, who.name)

    return _changed(engine, rollout_id, who, "pause", pause)


@router.post("/rollouts/{rollout_id}/resume", dependencies=[Writing], responses=declared(404, 409))
def resume_rollout(rollout_id: RowId, engine: Database, who: Publisher) -> RolloutAnswer:
    """Go on with a rollout that was paused."""
    return _changed(engine, rollout_id, who, "resume", lambda session, row: records.resume(session, row, who.name))


@router.post("/rollouts/{rollout_id}/abort", dependencies=[Writing], responses=declared(404, 409))
def abort_rollout(rollout_id: RowId, body: ReasonRequest, engine: Database, who: Publisher) -> RolloutAnswer:
    """End a rollout: devices that have the version return to what they kept, or to what the channel stands at."""

    def abort(session: Session, rollout: Rollout) -> None:
        records.abort(session, rollout, body.reason, who.name)

    return _changed(engine, rollout_id, who, "abort", abort)


def _changed(
    engine: Engine, rollout_id: int, who: Token, act: str, change: Callable[[Session, Rollout], None]
) -> RolloutAnswer:
    with writing(engine) as session:
        rollout = records.locked(session, rollout_id)
        change(session, rollout)
        stage, reason = rollout.stages[rollout.stage], rollout.reason
        audit.record(session, who, f"rollout.{act}", rollout.model, rollout=rollout_id, stage=stage, reason=reason)
        return _shown(session, rollout)


def _shown(session: Session, rollout: Rollout) -> RolloutAnswer:
    return RolloutAnswer.model_validate(progress(session, rollout))
