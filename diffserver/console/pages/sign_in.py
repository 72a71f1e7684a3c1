"""Signing in with an operator's token, and out.

The token is in the body of one request, and nowhere else: the browser keeps a secret of its own in a cookie.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from diffserver.api.access import Writing, identify
from diffserver.console import render, sessions
from diffserver.console.guard import ConsoleRoute, Operator, cookie_name, is_secure, read_form
from diffserver.errors import TooMany, Unauthenticated
from diffserver.storage.database import writing
from diffserver.storage.tables import Token

router = APIRouter(route_class=ConsoleRoute)

OWN = re.compile(r"/[A-Za-z0-9._/-]*")


@router.get("/console/sign-in")
async def sign_in_page(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Ask for a token."""
    return render.page(request, "sign_in.html", next=_own(next), problem=None)


@router.post("/console/sign-in", dependencies=[Writing])
async def sign_in(request: Request) -> Response:
    """Begin a session for the holder of a token."""
    form = await read_form(request)
    back = _own(form.get("next", "/"))
    try:
        token = await run_in_threadpool(identify, request, form.get("token", "").strip())
    except Unauthenticated:
        return render.page(request, "sign_in.html", 401, next=back, problem="This token is not valid.")
    except TooMany as error:
        problem = f"Too many wrong tokens came from your address. Try again in {error.retry_after} seconds."
        return render.page(request, "sign_in.html", 429, next=back, problem=problem)
    if token.role not in sessions.ROLES:
        problem = f"A token of role {token.role} signs nobody in: take one of an operator."
        return render.page(request, "sign_in.html", 403, next=back, problem=problem)
    request.state.token_id = token.id
    secret = await run_in_threadpool(_begin, request.app.state.engine, token)
    answer = RedirectResponse(back, 303)
    answer.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(sessions.SHIFT.total_seconds()),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/console/sign-out", dependencies=[Writing])
async def sign_out(who: Operator) -> Response:
    """End the session."""
    await run_in_threadpool(_end, who.request.app.state.engine, who.secret)
    answer = RedirectResponse("/console/sign-in", 303)
    name, secure = cookie_name(who.request), is_secure(who.request)
    answer.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


def _begin(engine: Engine, token: Token) -> str:
    with writing(engine) as session:
        return sessions.begin(session, token)


def _end(engine: Engine, secret: str) -> None:
    with writing(engine) as session:
        sessions.end(session, secret)


def _own(path: str) -> str:
    """Return a path of this server; whatever else is asked for becomes the overview."""
    return path if OWN.fullmatch(path) and not path.startswith("//") else "/"
