"""Signed metadata, as devices fetch it, and the changes to a model's roles that operators ask for."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from diffserver.api import shown
from diffserver.api.access import Admin, Database, Keys, Publisher, Remembered, TokenFirst, Viewer, Writing
from diffserver.api.answers import Page, RetireAnswer, RoleAnswer, StrandedAnswer, VersionAnswer
from diffserver.api.fields import INT32, ModelName
from diffserver.api.problems import CALLER, declared
from diffserver.api.proofs import proof_of
from diffserver.api.ranges import known
from diffserver.api.requests import ChangeRequest, ChannelRequest, RetireRequest
from diffserver.catalog import audit
from diffserver.catalog.versions import find_model
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.trust import metadata_rows, releases, standing_roles
from diffserver.trust.metadata.roles import parse_file
from diffserver.upkeep.stranded import stranded

router = APIRouter(prefix="/v1", tags=["trust"], route_class=TokenFirst)

JSON = "application/json"
FOR_EVER = "public, max-age=31536000, immutable"
CHANGE: dict[str, Any] = {"dependencies": [Writing], "responses": declared(*CALLER, 404, 409)}
"""Of every endpoint that changes a model's roles."""


@router.get(
    "/tuf/{name}",
    response_class=Response,
    responses={
        200: {"description": "The metadata.", "content": {JSON: {}}},
        304: {"description": "The caller has these bytes."},
        404: {"description": "No such metadata; says so in plain text.", "content": {"text/plain": {}}},
    },
)
async def get_metadata(
    name: str, engine: Database, memory: Remembered, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Signed metadata by its file's name: `timestamp.json`, or `<version>.<role>.json`, which never changes.

    Only those that never change are remembered: a poll that another process answered may have led here already.
    """
    metadata, parsed = memory.metadata(), parse_file(name)
    fixed = parsed is not None and parsed[1] is not None
    data = metadata.files.get(name)
    if data is None and parsed:
        data = await run_in_threadpool(_read, engine, *parsed)
        if data and fixed:
            metadata.keep(name, data)
    if data is None:
        # Short, and no problem document: every device asks for the root that is not there yet.
        return Response("no such metadata\n", 404, {"Cache-Control": "no-store"}, "text/plain")
    headers = {"Cache-Control": FOR_EVER if fixed else "no-cache", "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
    if known(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, JSON)


def _read(engine: Engine, role: str, version: int | None) -> bytes | None:
    with reading(engine) as session:
        return metadata_rows.read(session, role, version)


@router.get("/roles", responses=declared(*CALLER))
def list_roles(engine: Database, keys: Keys, _who: Viewer) -> Page[RoleAnswer]:
    """What is signed: each role with its expiry and its keys, the first to expire first, all of them."""
    with reading(engine) as session:
        found = standing_roles.standing_roles(session, keys, utc_now())
        items = [RoleAnswer.model_validate(role) for role in found]
    return Page(items=items, next=None)


@router.post("/models/{model}/channel", **CHANGE)
def move_channel(model: ModelName, body: ChannelRequest, engine: Database, keys: Keys, who: Publisher) -> VersionAnswer:
    """Move a channel to a version that was published, and sign that devices with a later one may follow."""
    with writing(engine) as session:
        version = releases.move_channel(session, keys, model, body.version, proof_of(body), body.channel)
        audit.record(session, who, "channel.move", model, channel=body.channel, version=body.version)
        return shown.versions(session, [version])[0]


@router.get("/models/{model}/stranded", responses=declared(*CALLER, 404))
def list_stranded(
    model: ModelName,
    engine: Database,
    _who: Viewer,
    before: Annotated[int, Query(ge=0, le=INT32, description="As when diffs are retired.")],
) -> list[StrandedAnswer]:
    """Devices, by what they run, that would take a snapshot if the diffs to versions before one were dropped."""
    with reading(engine) as session:
        find_model(session, model)
        return [StrandedAnswer.model_validate(row) for row in stranded(session, model, before)]


@router.post("/models/{model}/retire", **CHANGE)
def retire(model: ModelName, body: RetireRequest, engine: Database, keys: Keys, who: Admin) -> RetireAnswer:
    """Drop the diffs to versions before one; devices that need them take a snapshot."""
    with writing(engine) as session:
        dropped = releases.retire(session, keys, model, body.before, proof_of(body))
        audit.record(session, who, "diffs.retire", model, before=body.before, dropped=dropped)
    return RetireAnswer(dropped=dropped)


@router.post("/models/{model}/renew", status_code=204, **CHANGE)
def renew(model: ModelName, body: ChangeRequest, engine: Database, keys: Keys, who: Publisher) -> None:
    """Sign a model's metadata again before it expires, as its own key's holder must once a year."""
    with writing(engine) as session:
        releases.renew(session, keys, model, proof_of(body))
        audit.record(session, who, "metadata.renew", model)
