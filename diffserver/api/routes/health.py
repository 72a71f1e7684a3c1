"""Health: whether the process lives, and whether it can do its work."""

from fastapi import APIRouter

from diffserver.api.access import Database, Store
from diffserver.api.answers import HealthAnswer
from diffserver.errors import Unavailable
from diffserver.storage import migrate

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def live() -> HealthAnswer:
    """The process answers, whatever else it is busy with; says nothing about what it depends on."""
    return HealthAnswer()


@router.get("/readyz")
def ready(engine: Database, objects: Store) -> HealthAnswer:
    """The database is there and migrated, and objects can be written."""
    migrate.check(engine)
    if not objects.writable():
        raise Unavailable("the object store can't be written to", "check DIFFSERVER_OBJECTS and its rights")
    return HealthAnswer()
