"""The style and the script, by the hash of their bytes: browsers keep them until they change."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.charts.style import CSS
from diffserver.console.guard import ConsoleRoute

router = APIRouter(route_class=ConsoleRoute)

KINDS = {"console.css": "text/css", "console.js": "text/javascript"}
STYLES = {"console.css": CSS.encode()}
"""What charts look like stands before a file."""


@router.get("/console/assets/{name}")
async def asset(name: Literal["console.css", "console.js"]) -> Response:
    """Return a file; everybody may have it."""
    data = STYLES.get(name, b"") + (files("diffserver.console") / "assets" / name).read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    return Response(data, media_type=KINDS[name], headers={"Cache-Control": "max-age=3600", "ETag": tag})
