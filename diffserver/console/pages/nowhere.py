"""What is asked for below /console and is not there."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.console.guard import ConsoleRoute
from diffserver.errors import NotFound

router = APIRouter(route_class=ConsoleRoute)


@router.get("/console/{path:path}")
async def nowhere() -> Response:
    """Say that there is no such page."""
    raise NotFound("there is no such page", "go to the overview")
