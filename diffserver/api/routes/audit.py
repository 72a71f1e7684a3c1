"""The audit log: who did what, and when."""

from typing import Annotated

from fastapi import APIRouter, Query

from diffserver.api.access import AfterNumber, Database, Limit, Newest, TokenFirst, Viewer, page
from diffserver.api.answers import AuditAnswer, Page
from diffserver.api.fields import Moment, Name
from diffserver.api.problems import CALLER, declared
from diffserver.catalog import audit
from diffserver.storage.database import reading

router = APIRouter(prefix="/v1", tags=["audit"], route_class=TokenFirst, responses=declared(*CALLER))


@router.get("/audit")
def list_audit(
    engine: Database,
    _who: Viewer,
    model: Annotated[Name | None, Query(description="What was done to this model.")] = None,
    act: Annotated[
        str | None, Query(pattern=r"^[a-z][a-z._]{0,63}$", description="Of one kind, like `candidate.publish`.")
    ] = None,
    since: Annotated[Moment | None, Query(description="Not before this moment.")] = None,
    limit: Limit = 100,
    after: AfterNumber = 0,
    newest: Newest = False,
) -> Page[AuditAnswer]:
    """Acts, oldest first unless the newest are wanted."""
    with reading(engine) as session:
        rows = audit.entries(session, after, limit + 1, model, act, since, newest)
    return page(rows, limit, AuditAnswer, lambda entry: entry.id)
