"""Problems: every error as RFC 9457 problem+json, with a remedy.

The errors themselves are in `diffserver.errors`; here is only what HTTP calls them.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from diffserver import errors

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[errors.DiffServerError], int] = {
    errors.NotMigrated: 503,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.Conflict: 409,
    errors.KeyMissing: 503,
    errors.TooMany: 429,
    errors.Busy: 503,
    errors.Unavailable: 503,
}

# What the framework raises by itself: the kind, and the remedy.
FRAMEWORK = {
    400: ("malformed", "send a JSON body as /docs describes it"),
    404: ("not-found", "see /docs for the paths that exist"),
    405: ("method-not-allowed", "use a method that the Allow header names"),
    413: ("too-large", "send less; DIFFSERVER_MAX_BODY is the limit, DIFFSERVER_MAX_CHECKPOINT that of checkpoints"),
    416: ("range", "ask for bytes below the length that Content-Range names"),
}


# Failures of what the service depends on: they pass, so callers should come back.
DEPENDENCIES = (OperationalError, PoolTimeout, StoreError)


class Problem(BaseModel):
    """What every error looks like."""

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


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def register(app: FastAPI) -> None:
    """Answer all errors that reach the application with problems."""
    app.add_exception_handler(errors.DiffServerError, _of_service)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def unexpected(scope: Scope, error: Exception) -> Response:
    """The answer to an error that nothing caught; it tells no more than the id under which it was logged."""
    remedy = "look for the request id in the server's log"
    if isinstance(error, DEPENDENCIES):
        detail, headers = "the database or the object store does not answer", {"Retry-After": "30"}
        return _problem(scope, 503, "unavailable", detail, remedy, headers=headers)
    return _problem(scope, 500, "unexpected", "the server failed at this request", remedy)


def _of_service(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.DiffServerError)
    status = next((STATUS[kind] for kind in type(error).mro() if kind in STATUS), 500)
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="diffserver"'
    if isinstance(error, errors.Busy):
        headers["Retry-After"] = str(error.retry_after)
    slug = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return _problem(request.scope, status, slug, error.detail, error.remedy, error.members(), headers)


def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The input is left out: it may hold what can't be written as JSON, or what must not be repeated.
    found = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['where']}: {one['what']}" for one in found[:5])
    return _problem(request.scope, 422, "invalid", detail, "correct these fields; see /docs", {"errors": found[:50]})


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug, remedy = FRAMEWORK.get(error.status_code, ("http", "see /docs"))
    return _problem(request.scope, error.status_code, slug, error.detail, remedy, {}, error.headers)


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
        "detail": detail,
        "remedy": remedy,
        "request_id": scope.get("state", {}).get("request_id"),
    }
    return JSONResponse(
        {**(members or {}), **body},
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )
