"""The state of the service, for operators: who takes trainings, and what waits for whom."""

from fastapi import APIRouter

from diffserver import __version__
from diffserver.api.access import Database, OwnWorker, TokenFirst, Viewer
from diffserver.api.answers import StatusAnswer, WorkerAnswer
from diffserver.api.problems import CALLER, declared
from diffserver.api.routes.health import taking
from diffserver.catalog.workers import workforce
from diffserver.storage.database import reading

router = APIRouter(prefix="/v1", tags=["status"], route_class=TokenFirst, responses=declared(*CALLER))


@router.get("/status")
def get_status(engine: Database, own_worker: OwnWorker, _who: Viewer) -> StatusAnswer:
    """Workers that are there or were within a day, how many trainings wait, and why."""
    with reading(engine) as session:
        force = workforce(session)
    return StatusAnswer(
        trainings=taking(force),
        own_worker=own_worker,
        version=__version__,
        why_waiting=next(map(force.why_waiting, force.waiting), None),
        known_workers=[WorkerAnswer.model_validate(worker) for worker in force.known],
    )
