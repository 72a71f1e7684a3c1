"""The work of operators: trainings, the candidates that come of them, and publishing."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from diffserver.api import shown
from diffserver.api.access import (
    AfterNumber,
    Database,
    Keys,
    Limit,
    Newest,
    Publisher,
    Store,
    TokenFirst,
    Viewer,
    Writing,
    numbered,
    page,
)
from diffserver.api.answers import CandidateAnswer, LineAnswer, LossAnswer, Page, TrainingAnswer, VersionAnswer
from diffserver.api.fields import Name, RowId
from diffserver.api.problems import CALLER, declared
from diffserver.api.proofs import proof_of
from diffserver.api.requests import PublishRequest, TrainingRequest
from diffserver.catalog import audit, training_queue, versions
from diffserver.catalog.admin import model_changes
from diffserver.catalog.jobs import lines, losses
from diffserver.catalog.workers import workforce
from diffserver.errors import NotFound
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate, Training
from diffserver.trust import releases

router = APIRouter(prefix="/v1", tags=["trainings"], route_class=TokenFirst, responses=declared(*CALLER))

OfModel = Annotated[Name | None, Query(description="Of this model only.")]


@router.post("/trainings", status_code=202, dependencies=[Writing], responses=declared(404, 409))
def submit_training(body: TrainingRequest, engine: Database, objects: Store, who: Publisher) -> TrainingAnswer:
    """Queue a training; a worker takes it in its turn, and its candidate appears when it is done."""
    if body.checkpoint and not objects.exists(body.checkpoint):
        raise NotFound(
            f"there is no checkpoint {body.checkpoint}", f"upload it with PUT /v1/checkpoints/{body.checkpoint}"
        )
    if body.graph and not objects.exists(body.graph):
        raise NotFound(f"there is no graph {body.graph}", f"upload it with PUT /v1/checkpoints/graphs/{body.graph}")
    with writing(engine) as session:
        training = training_queue.submit(session, body.spec(), body.priority)
        audit.record(session, who, "training.submit", training.model, training=training.id, **body.made_of())
        return _described(session, [TrainingAnswer.model_validate(training)])[0]


@router.get("/trainings")
def list_trainings(
    engine: Database,
    _who: Viewer,
    model: OfModel = None,
    limit: Limit = 100,
    after: AfterNumber = 0,
    newest: Newest = False,
) -> Page[TrainingAnswer]:
    """Trainings, oldest first unless the newest are wanted."""
    with reading(engine) as session:
        found = numbered(session, Training, model, limit, after, newest)
        rows = [TrainingAnswer.model_validate(row) for row in found]
        return page(_described(session, rows), limit, TrainingAnswer, lambda row: row.id)


@router.get("/trainings/{training_id}", responses=declared(404))
def get_training(training_id: RowId, engine: Database, _who: Viewer) -> TrainingAnswer:
    """One training and how far it has come."""
    with reading(engine) as session:
        training = training_queue.find(session, training_id)
        return _described(session, [TrainingAnswer.model_validate(training)])[0]


@router.get("/trainings/{training_id}/log", responses=declared(404))
def list_training_lines(
    training_id: RowId,
    engine: Database,
    _who: Viewer,
    limit: Limit = 100,
    after: AfterNumber = 0,
    newest: Newest = False,
) -> Page[LineAnswer]:
    """What its workers said of a training, oldest first; `after` is the number of the last line that is known."""
    with reading(engine) as session:
        training_queue.find(session, training_id)
        rows = lines.entries(session, training_id, after, limit + 1, newest)
    return page(rows, limit, LineAnswer, lambda row: row.number)


@router.get("/trainings/{training_id}/losses", responses=declared(404))
def list_losses(training_id: RowId, engine: Database, _who: Viewer) -> Page[LossAnswer]:
    """The loss by step, of each training that the request takes: about 200 steps of each, evenly chosen."""
    with reading(engine) as session:
        training_queue.find(session, training_id)
        rows = losses.entries(session, training_id)
    return Page(items=[LossAnswer.model_validate(row) for row in rows], next=None)


@router.delete("/trainings/{training_id}", dependencies=[Writing], responses=declared(404, 409))
def cancel_training(training_id: RowId, engine: Database, who: Publisher) -> TrainingAnswer:
    """Cancel a training for good; a worker at it stops at its next heartbeat, whatever it is at."""
    with writing(engine) as session:
        training = training_queue.cancel(session, training_id)
        audit.record(session, who, "training.cancel", training.model, training=training_id)
        return TrainingAnswer.model_validate(training)


@router.get("/candidates")
def list_candidates(
    engine: Database,
    _who: Viewer,
    model: OfModel = None,
    limit: Limit = 100,
    after: AfterNumber = 0,
    newest: Newest = False,
) -> Page[CandidateAnswer]:
    """Candidates, oldest first unless the newest are wanted; published ones too."""
    with reading(engine) as session:
        rows = shown.candidates(session, numbered(session, Candidate, model, limit, after, newest))
    return page(rows, limit, CandidateAnswer, lambda row: row.id)


@router.get("/candidates/{candidate_id}", responses=declared(404))
def get_candidate(candidate_id: RowId, engine: Database, _who: Viewer) -> CandidateAnswer:
    """One candidate with its evaluation, and what speaks against it."""
    with reading(engine) as session:
        return shown.candidates(session, [versions.find_candidate(session, candidate_id)])[0]


@router.post(
    "/candidates/{candidate_id}/publish", status_code=201, dependencies=[Writing], responses=declared(404, 409)
)
def publish_candidate(
    candidate_id: RowId, body: PublishRequest, engine: Database, keys: Keys, who: Publisher
) -> VersionAnswer:
    """Make a candidate its model's next version, and lead a channel there: at once or, with stages, in a rollout.

    Where the server does not hold the model's key, the answer is the problem `signature-needed` with a challenge; the
    same request with a proof of it is accepted.
    """
    with writing(engine) as session:
        version = releases.publish(session, keys, candidate_id, body.force, who.name, proof_of(body), body.way())
        made = {"candidate": candidate_id, "version": version.number, "force": version.forced}
        led = {"channel": body.channel, "stages": body.stages}
        audit.record(session, who, "candidate.publish", version.model, **made, **led)
        return shown.versions(session, [version])[0]


@router.delete("/candidates/{candidate_id}", status_code=204, dependencies=[Writing], responses=declared(404, 409))
def delete_candidate(candidate_id: RowId, engine: Database, who: Publisher) -> None:
    """Delete a candidate that was not published."""
    with writing(engine) as session:
        candidate = model_changes.delete_candidate(session, candidate_id)
        audit.record(session, who, "candidate.delete", candidate.model, candidate=candidate_id)


def _described(session: Session, answers: Sequence[TrainingAnswer]) -> list[TrainingAnswer]:
    """Say of trainings that nobody is at why that is."""
    workers = workforce(session)
    return [answer.model_copy(update={"waiting": workers.why_waiting(answer.id)}) for answer in answers]
