"""Failures: what HTTP calls every error: its status and kind, the cause, the remedy, and the headers beside them.

The errors themselves are in `diffserver.errors`. How a failure looks is left to `problems`, and to the console's pages.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from diffserver import errors

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

RESTART_SECONDS = 5
"""What a database takes to be started again, about; callers back off by themselves if it takes longer."""

SPREAD = 1.25
"""Callers are told to wait for up to so many times as long as they have to, so that they do not come back at once."""

IN_THE_LOG = "look for the request id in the server's log"
COME_BACK = f"try again in a few seconds; if that does not help, {IN_THE_LOG}"


@dataclass(frozen=True)
class Failure:
    """An error as HTTP tells it: `kind` is for programs, `members` are further facts for them."""

    status: int
    kind: str
    detail: str
    remedy: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Failed(errors.DiffServerError):
    """An error that is a failure already: what the API answered to another part of the service."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail, failure.remedy)
        self.failure = failure


def failure_of(error: Exception) -> Failure:
    """Return the failure of an error; of one that nothing caught it tells no more than where to look."""
    match error:
        case Failed():
            return error.failure
        case errors.DiffServerError():
            return _of_service(error)
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException():
            return of_http(error.status_code, error.detail, error.headers)
        case OperationalError() | PoolTimeout() | StoreError():
            detail = "the database or the object store does not answer"
            return Failure(503, "unavailable", detail, COME_BACK, headers=_retry_after(RESTART_SECONDS))
    return Failure(500, "unexpected", "the server failed at this request", IN_THE_LOG)


def of_http(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Failure:
    """Return the failure of a request that HTTP itself has something against."""
    kind, remedy = FRAMEWORK.get(status, ("http", "see /openapi.json"))
    return Failure(status, kind, detail, remedy, headers=headers or {})


def _of_service(error: errors.DiffServerError) -> Failure:
    status = next((STATUS[kind] for kind in type(error).mro() if kind in STATUS), 500)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="diffserver"'
    if isinstance(error, errors.Busy):
        headers |= _retry_after(error.retry_after)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return Failure(status, kind, error.detail, error.remedy, error.members(), headers)


def _of_validation(error: RequestValidationError) -> Failure:
    # The input is left out: it may hold what can't be written as JSON, or what must not be repeated.
    faults = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults[:5])
    return Failure(422, "invalid", detail, "correct these fields; see /openapi.json", {"errors": faults[:50]})


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(ceil(seconds * random.uniform(1, SPREAD)))}
