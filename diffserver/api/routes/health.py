"""Health: whether the process lives, and whether it can do its work."""

from fastapi import APIRouter

from diffserver.api.access import Database, OwnWorker, Store
from diffserver.api.answers import HealthAnswer, ReadyAnswer, TakingAnswer
from diffserver.catalog.workers import Workforce, workforce
from diffserver.errors import Unavailable
from diffserver.storage import migrate
from diffserver.storage.database import reading

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def live() -> HealthAnswer:
    """The process answers, whatever else it is busy with; says nothing about what it depends on."""
    return HealthAnswer()


@router.get("/readyz")
def ready(engine: Database, objects: Store, own_worker: OwnWorker) -> ReadyAnswer:
    """The database is there and migrated, and objects can be written; tells besides whether anyone takes trainings."""
    migrate.check(engine)
    if not objects.writable():
        raise Unavailable("the object store can't be written to", "check DIFFSERVER_OBJECTS and its rights")
    with reading(engine) as session:
        return ReadyAnswer(trainings=taking(workforce(session)), own_worker=own_worker)


def taking(found: Workforce) -> TakingAnswer:
    """The workforce in numbers."""
    return TakingAnswer(workers=len(found.there), busy=len(found.busy), waiting=len(found.waiting))
