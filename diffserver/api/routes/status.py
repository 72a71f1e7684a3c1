"""The state of the service, for operators: models at a glance, who takes trainings, what waits for whom."""

from datetime import timedelta

from fastapi import APIRouter

from diffserver import __version__
from diffserver.api.access import Config, Database, OwnWorker, TokenFirst, Viewer
from diffserver.api.answers import ExpiryAnswer, OverviewAnswer, StatusAnswer, WorkerAnswer
from diffserver.api.problems import CALLER, declared
from diffserver.api.routes.health import taking
from diffserver.catalog.workers import workforce
from diffserver.rollouts.overview import overviews
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading
from diffserver.trust import metadata_rows

router = APIRouter(prefix="/v1", tags=["status"], route_class=TokenFirst, responses=declared(*CALLER))

EXPIRING = 5
"""Of so many roles it is told when their metadata expires."""


@router.get("/status")
def get_status(engine: Database, config: Config, own_worker: OwnWorker, _who: Viewer) -> StatusAnswer:
    """Models with their rollouts and devices that need a look, what expires, workers, and why trainings wait.

    Workers are told that are there or were within a day.
    """
    with reading(engine) as session:
        force = workforce(session)
        models = overviews(session, utc_now(), timedelta(seconds=config.update_seconds))
        expiring = metadata_rows.expiries(session)[:EXPIRING]
    return StatusAnswer(
        trainings=taking(force),
        own_worker=own_worker,
        version=__version__,
        why_waiting=next(map(force.why_waiting, force.waiting), None),
        known_workers=[WorkerAnswer.model_validate(worker) for worker in force.known],
        models=[OverviewAnswer.model_validate(model) for model in models],
        expiring=[ExpiryAnswer(role=role, expires=expires) for role, _, expires in expiring],
    )
