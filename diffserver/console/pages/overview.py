"""The overview: models, what their channels run, rollouts under way, and how the fleet does."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.console.guard import ConsoleRoute, Operator
from diffserver.console.link import Link

NAV = Link("Overview", "/")
router = APIRouter(route_class=ConsoleRoute)


@router.get("/")
async def overview(who: Operator) -> Response:
    """Show what is quickly known; the fleet's figures follow as a part."""
    return who.show("overview.html", models=(await who.get("/v1/models"))["items"])


@router.get("/console/overview/fleet")
async def fleet(who: Operator) -> Response:
    """Show what the whole fleet has to be asked for."""
    status, more = await who.get("/v1/status"), {}
    for model in (found["name"] for found in status["models"]):
        asked = {what: await who.get(f"/v1/models/{model}/{what}") for what in ("tallies", "failures", "ledger")}
        more[model] = {
            "tallies": asked["tallies"]["items"],
            "failures": asked["failures"]["items"],
            "ledger": asked["ledger"],
        }
    return who.show("overview_fleet.html", status=status, more=more)
