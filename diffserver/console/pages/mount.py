"""The console as a part of the service, where its extra is installed; else one line that says how to get it."""

from __future__ import annotations

import importlib.util

from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse, Response

MISSING = (
    "The console is not installed here. Install it: pip install 'diffserver[console]', and start the server anew.\n"
)


def add_to(app: FastAPI) -> None:
    """Add the console's pages to a service."""
    if importlib.util.find_spec("jinja2") is None:
        app.include_router(_instead())
        return
    from diffserver.console.pages.all import PAGES  # where jinja2 is there

    app.state.console_links = [link for page in PAGES if (link := getattr(page, "NAV", None)) is not None]
    for page in PAGES:
        app.include_router(page.router, include_in_schema=False)


def _instead() -> APIRouter:
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def how_to_install() -> Response:
        return PlainTextResponse(MISSING, 404)

    return router
