"""Health: whether the process lives, and whether it can do its work."""

from fastapi import APIRouter

from diffserver.api.access import Database, Watch
from diffserver.api.answers import HealthAnswer, ObjectsAnswer, ReadyAnswer
from diffserver.errors import Unavailable
from diffserver.storage import migrate

router = APIRouter(tags=["health"])


@router.get("/healthz")
def live() -> HealthAnswer:
    """The process answers; says nothing about what it depends on."""
    return HealthAnswer()


@router.get("/readyz")
def ready(engine: Database, watch: Watch) -> ReadyAnswer:
    """The database is there and migrated, objects can be written, and those of the latest versions are there."""
    migrate.check(engine)
    state = watch.state()
    if not state.writable:
        raise Unavailable("the object store can't be written to", "check DIFFSERVER_OBJECTS and its rights")
    if state.lost:
        raise Unavailable(
            f"the object store has none of the {state.expected} objects of the latest versions",
            "check DIFFSERVER_OBJECTS; if the store was lost, restore it and run: diffserver verify",
        )
    return ReadyAnswer(objects=ObjectsAnswer(missing=len(state.missing), damaged=state.damaged))
