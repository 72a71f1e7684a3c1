"""An authenticated route that does nothing, on the server's own uvicorn: what the benchmark of polls compares with.

It looks the SHA-256 of a token up in a dictionary, and answers two bytes of JSON.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.enrolled import token_of
from diffserver.connections.serve import serve
from diffserver.settings import Settings


def application(tokens: int) -> Starlette:
    """Return the application; it knows the first so many tokens."""
    known = {_digest(token_of(number)): number for number in range(tokens)}

    async def poll(request: Request) -> Response:
        if _digest(request.headers.get("authorization", "").removeprefix("Bearer ")) not in known:
            return Response(status_code=401)
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/v1/device/poll", poll, methods=["POST"])])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


if __name__ == "__main__":
    serve(application(int(sys.argv[2])), replace(Settings.under(Path.cwd()), port=int(sys.argv[1])))
