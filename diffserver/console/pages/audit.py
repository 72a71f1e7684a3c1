"""The audit log: who did what, and when, the newest first."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.console import fields
from diffserver.console.guard import ConsoleRoute, Operator
from diffserver.console.link import Link

NAV = Link("Audit log", "/console/audit")
router = APIRouter(route_class=ConsoleRoute)

SHOWN = 50


@router.get("/console/audit")
async def audit(who: Operator, after: int = 0) -> Response:
    """Show acts: those of a model, of a kind and since a moment, where these are asked for."""
    typed = who.request.query_params
    asked = {"model": fields.text(typed, "model"), "act": fields.text(typed, "act")}
    found = await who.get(
        "/v1/audit", **asked, since=fields.moment(typed, "since"), limit=SHOWN, after=after, newest=True
    )
    models = [row["name"] for row in (await who.get("/v1/models", archived=True, limit=500))["items"]]
    kept = {name: typed[name] for name in ("model", "act", "since") if typed.get(name)}
    return who.show("audit.html", found=found, models=models, typed=kept, earlier=urlencode(kept))
