"""Problems: every failure as RFC 9457 problem+json, with a remedy.

Here is also which of them an endpoint's description names.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from diffclient.plain_text import plain
from diffserver.api.failures import Failure, failure_of, of_http
from diffserver.errors import DiffServerError

MEDIA_TYPE = "application/problem+json"

TEXT = 20_000
"""The most characters of a detail or a remedy: they may repeat what a caller sent."""


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
    """Answer all errors that reach the application."""

    async def told(request: Request, error: Exception) -> Response:
        return answer(request.scope, error)

    for kind in (DiffServerError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, told)


def answer(scope: Scope, error: Exception) -> Response:
    """The answer to an error: as its route tells failures, if it has a way of its own, else a problem."""
    failure = failure_of(error)
    if failure.status == 405:
        failure = replace(failure, headers={"Allow": ", ".join(sorted(_methods(scope)))})
    tell = getattr(scope.get("route"), "tell", _problem)
    return cast(Response, tell(scope, failure))


def refusal(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that HTTP itself has something against."""
    return _problem(scope, of_http(status, detail, headers))


def _methods(scope: Scope) -> set[str]:
    """All methods that a path has, in whichever routes; the framework names those of the first."""
    there = (route for route in scope["app"].state.routes if route.matches(scope)[0] is not Match.NONE)
    return {method for route in there for method in route.methods}


def _problem(scope: Scope, failure: Failure) -> Response:
    body = {
        "type": f"urn:diffserver:problem:{failure.kind}",
        "title": HTTPStatus(failure.status).phrase,
        "status": failure.status,
        "detail": plain(failure.detail, TEXT),
        "remedy": plain(failure.remedy, TEXT),
        "request_id": scope.get("state", {}).get("request_id"),
    }
    # In ASCII: members may hold what callers sent, half a character too, which has no other encoding.
    content = json.dumps({**failure.members, **body})
    return Response(content, failure.status, {"Cache-Control": "no-store", **failure.headers}, media_type=MEDIA_TYPE)
