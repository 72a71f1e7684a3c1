"""Health: whether the process lives, and whether it can do its work."""

from fastapi import APIRouter

from diffserver.api.access import Database, Draining, OwnWorker, Watch
from diffserver.api.answers import HealthAnswer, ObjectsAnswer, ReadyAnswer, TakingAnswer
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
def ready(engine: Database, watch: Watch, drain: Draining, own_worker: OwnWorker) -> ReadyAnswer:
    """The database is there and migrated, objects can be written, and those of the latest versions are there.

    Tells besides whether anyone takes trainings.
    """
    if drain.begun:
        raise Unavailable("the server is being stopped", "ask another one, or this one when it is back")
    migrate.check(engine)
    state = watch.state()
    if not state.writable:
        raise Unavailable("the object store can't be written to", "check DIFFSERVER_OBJECTS and its rights")
    if state.lost:
        raise Unavailable(
            f"the object store has none of the {state.expected} objects of the latest versions",
            "check DIFFSERVER_OBJECTS; if the store was lost, restore it and run: diffserver verify",
        )
    objects = ObjectsAnswer(missing=len(state.missing), damaged=state.damaged)
    with reading(engine) as session:
        return ReadyAnswer(trainings=taking(workforce(session)), own_worker=own_worker, objects=objects)


def taking(force: Workforce) -> TakingAnswer:
    """The workforce in numbers."""
    return TakingAnswer(workers=len(force.there), busy=len(force.busy), waiting=len(force.waiting))
