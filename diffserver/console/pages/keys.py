"""Keys: what is signed until when, whose keys sign it, and what to do where the server cannot."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.console.guard import ConsoleRoute, Operator
from diffserver.console.link import Link

NAV = Link("Keys", "/console/keys")
router = APIRouter(route_class=ConsoleRoute)


@router.get("/console/keys")
async def keys(who: Operator) -> Response:
    """Show all roles, the first to expire first."""
    return who.show("keys.html", roles=(await who.get("/v1/roles"))["items"])
