"""Problems: every error as RFC 9457 problem+json, with a remedy.

The errors themselves are in `diffserver.errors`; here is only what HTTP calls them, and which of them an endpoint's
description names.
"""

import json
import random
import re
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from diffclient.plain_text import plain
from diffserver import errors

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[errors.DiffServerError], int] = {
    errors.NotMigrated: 503,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.UnknownParameter: 422,
    errors.Invalid: 422,
    errors.Conflict: 409,
    errors.KeyMissing: 503,
    errors.TooMany: 429,
    errors.Busy: 503,
    errors.Unavailable: 503,
}

# What the framework raises by itself: the kind, and the remedy.
FRAMEWORK = {
    400: ("malformed", "send a JSON body as /openapi.json describes it"),
    404: ("not-found", "see /openapi.json for the paths that exist"),
    405: ("method-not-allowed", "use a method that the Allow header names"),
    408: ("too-slow", "send the request faster, or less of it"),
    413: ("too-large", "send less; DIFFSERVER_MAX_BODY is the limit, DIFFSERVER_MAX_CHECKPOINT that of checkpoints"),
    416: ("range", "ask for bytes below the length that Content-Range names"),
    503: ("stopping", "come back in a minute"),
}

TEXT = 20_000
"""The most characters of a detail or a remedy: they may repeat what a caller sent."""

# Failures of what the service depends on: they pass, so callers should come back.
DEPENDENCIES = (OperationalError, PoolTimeout, StoreError)


RESTART_SECONDS = 5
"""What a database takes to be started again, about; callers back off by themselves if it takes longer."""

SPREAD = 1.25
"""Callers are told to wait for up to so many times as long as they have to, so that they do not come back at once."""


class Problem(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "urn:diffserver:problem:not-found",
                "title": "Not Found",
                "status": 404,
                "detail": "there is no model 'speech'",
                "remedy": "train its base: diffserver base speech --data <folder>",
                "request_id": "b1946ac92492d234",
            }
        },
    )

    type: str = Field(description="What kind of problem it is; stable, for programs.")
    title: str
    status: int
    detail: str = Field(description="The cause.")
    remedy: str = Field(description="What to do about it.")
    request_id: str | None = None


MEANING: Mapping[int, str] = {
    400: "The request is malformed.",
    401: "No token, or one that is not valid.",
    403: "A token of another role.",
    404: "There is nothing of that name or number.",
    409: "The present state does not allow it.",
    413: "The body is too large.",
    416: "The range begins behind the last byte.",
    422: "A field is missing, ill-typed, out of range, or contradicts another; or there is no such query parameter.",
    429: "More than one caller may ask for in some time; `Retry-After` says when to come back.",
    503: "Too busy, or the database or object store does not answer; `Retry-After` says when to come back.",
}

CALLER = (401, 403, 429)
"""What whoever shows a token may be answered because of it."""


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that an endpoint may answer with, for its description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": MEANING[status], "content": content} for status in statuses}


def register(app: FastAPI) -> None:
    """Answer all errors that reach the application with problems."""
    app.add_exception_handler(errors.DiffServerError, _of_service)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def unexpected(scope: Scope, error: Exception) -> Response:
    """The answer to an error that nothing caught; it tells no more than the id under which it was logged."""
    remedy = "look for the request id in the server's log"
    if isinstance(error, DEPENDENCIES):
        detail, headers = "the database or the object store does not answer", _retry_after(RESTART_SECONDS)
        return _problem(scope, 503, "unavailable", detail, remedy, headers=headers)
    return _problem(scope, 500, "unexpected", "the server failed at this request", remedy)


def _of_service(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.DiffServerError)
    status = next((STATUS[kind] for kind in type(error).mro() if kind in STATUS), 500)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="diffserver"'
    if isinstance(error, errors.Busy):
        headers |= _retry_after(error.retry_after)
    slug = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return _problem(request.scope, status, slug, error.detail, error.remedy, error.members(), headers)


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(ceil(seconds * random.uniform(1, SPREAD)))}


def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The input is left out: it may hold what can't be written as JSON, or what must not be repeated.
    faults = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults[:5])
    remedy = "correct these fields; see /openapi.json"
    return _problem(request.scope, 422, "invalid", detail, remedy, {"errors": faults[:50]})


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return refusal(request.scope, error.status_code, error.detail, headers)


def refusal(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that HTTP itself has something against."""
    slug, remedy = FRAMEWORK.get(status, ("http", "see /openapi.json"))
    return _problem(scope, status, slug, detail, remedy, headers=headers)


def _methods(request: Request) -> set[str]:
    """All methods that a path has, in whichever routes; the framework names those of the first."""
    there = (route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in there for method in route.methods}


def _problem(
    scope: Scope,
    status: int,
    slug: str,
    detail: str,
    remedy: str,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        "type": f"urn:diffserver:problem:{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": plain(detail, TEXT),
        "remedy": plain(remedy, TEXT),
        "request_id": scope.get("state", {}).get("request_id"),
    }
    # In ASCII: members may hold what callers sent, half a character too, which has no other encoding.
    return Response(
        json.dumps({**(members or {}), **body}),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )
