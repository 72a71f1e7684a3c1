"""Tokens of operators, and those to enrol with, for admins: made, shown once, and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.api.fields import RowId
from diffserver.console import fields
from diffserver.console.fields import Given
from diffserver.console.guard import Caller, ConsoleRoute, Operator
from diffserver.console.link import Link
from diffserver.errors import DiffServerError
from diffserver.storage.column_types import utc_now

NAV = Link("Tokens", "/console/tokens", role="admin")
router = APIRouter(route_class=ConsoleRoute)

SHOWN = 100


@router.get("/console/tokens")
async def tokens(who: Operator, after: int = 0) -> Response:
    """Show tokens, never their secrets."""
    who.require("admin")
    return await _page(who, after=after)


@router.post("/console/tokens")
async def create(who: Operator) -> Response:
    """Make a token; its secret is on this page and nowhere else."""
    who.require("admin")
    try:
        made = await who.send("POST", "/v1/tokens", _request(who.form))
    except DiffServerError as error:
        return await _page(who, given=who.form, problem=error)
    return await _page(who, 201, made=made)


@router.post("/console/tokens/{token_id}/revoke")
async def revoke(who: Operator, token_id: RowId) -> Response:
    """End a token's validity for ever."""
    who.require("admin")
    await who.send("DELETE", f"/v1/tokens/{token_id}")
    return who.go("/console/tokens")


def state(row: Mapping[str, Any]) -> str:
    """Return whether a token can be used still."""
    if row["revoked"]:
        return "revoked"
    ended = row["expires"] is not None and datetime.fromisoformat(row["expires"]) <= utc_now()
    return "expired" if ended else "valid"


async def _page(
    who: Caller,
    status: int = 200,
    after: int = 0,
    given: Given | None = None,
    problem: DiffServerError | None = None,
    made: dict[str, Any] | None = None,
) -> Response:
    found = await who.get("/v1/tokens", limit=SHOWN, after=after)
    return who.show("tokens.html", status, found=found, given=given or {}, problem=problem, made=made, state=state)


def _request(given: Given) -> dict[str, Any]:
    """Return the API's request; raises Invalid."""
    asked = {"role": fields.text(given, "role"), "name": fields.text(given, "name")}
    limits = {"expires": fields.moment(given, "expires"), "uses": fields.whole(given, "uses")}
    return {name: value for name, value in {**asked, **limits}.items() if value is not None}
