"""The dependencies of endpoints: the service's parts, the caller, and the page of a list.

The parts are found on the event loop: a request needs a thread only for what may have to wait.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from diffclient.network.holding import Holding
from diffserver.api.answers import Page
from diffserver.api.guesses import Guesses
from diffserver.api.limits import WriteGate
from diffserver.catalog import tokens
from diffserver.catalog.tokens import Role
from diffserver.drain import Drain
from diffserver.errors import Forbidden, Unauthenticated
from diffserver.metrics.process import ProcessCounts
from diffserver.polls.credentials import Known, said
from diffserver.polls.memory import Memory
from diffserver.rollouts.answer import attributes
from diffserver.settings import Settings
from diffserver.storage.database import in_order, reading
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate, Rollout, Token, Training
from diffserver.trust.keys import Keyring
from diffserver.upkeep.watch import ObjectWatch

Item = TypeVar("Item", bound=BaseModel)
Row = TypeVar("Row", Training, Candidate, Rollout)

DESCRIPTIONS: dict[Role, str] = {
    "viewer": "Made with `diffserver token create viewer`; those of the two roles below do as well.",
    "publisher": "Made with `diffserver token create publisher`; an admin's does as well.",
    "admin": "Made with `diffserver token create admin`.",
    "enroll": "Made with `diffserver token create enroll`; an admin's does as well.",
    "device": "Given to a device when it enrols.",
}


def _of_app(name: str) -> Any:
    """Return the dependency on what the application keeps in its state by this name."""

    async def find(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(find)


async def _own_worker(request: Request) -> str:
    state: str = request.app.state.own_worker()
    return state


Config = Annotated[Settings, _of_app("settings")]
Database = Annotated[Engine, _of_app("engine")]
Store = Annotated[Objects, _of_app("objects")]
Watch = Annotated[ObjectWatch, _of_app("watch")]
Keys = Annotated[Keyring, _of_app("keyring")]
Registry = Annotated[CollectorRegistry, _of_app("registry")]
Counts = Annotated[ProcessCounts, _of_app("counts")]
Draining = Annotated[Drain, _of_app("drain")]
OwnWorker = Annotated[str, Depends(_own_worker)]
Remembered = Annotated[Memory, _of_app("memory")]


_CHECKS: dict[Callable[..., Any], Callable[[Request], Awaitable[None]]] = {}
"""By dependency: what is checked before it."""


class TokenFirst(APIRoute):
    """A route that knows who is asking before it reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check of the token before all else."""
        handle = super().get_route_handler()
        checks = [_CHECKS[needed.call] for needed in self.dependant.dependencies if needed.call in _CHECKS]

        async def checked(request: Request) -> Response:
            for check in checks:
                await check(request)
            return await handle(request)

        return checked


def _require(role: Role, *others: Role) -> Callable[..., Awaitable[Token]]:
    """Return the dependency of a role; `signed_in` is the state of requests that the console makes in process."""
    scheme = HTTPBearer(scheme_name=role, description=DESCRIPTIONS[role], auto_error=False)
    allowed = (role, *others)

    async def check(request: Request) -> None:
        token: Token | None = getattr(request.state, "signed_in", None)
        if token is None:
            token = await run_in_threadpool(identify, request, _secret(await scheme(request), role))
        request.state.token, request.state.token_id = token, token.id
        if token.device_id:
            request.state.device_id = token.device_id
        if token.role not in allowed:
            names = " or ".join(allowed)
            raise Forbidden(f"a token of role {names} is needed, this one is of role {token.role}", f"use {names}")

    async def who(request: Request, _bearer: Annotated[object, Depends(scheme)]) -> Token:
        token: Token = request.state.token
        return token

    _CHECKS[who] = check
    return who


def _known_device() -> Callable[..., Awaitable[str]]:
    """Return the dependency of a device of which the id is enough: one that is remembered needs no query."""
    scheme = HTTPBearer(scheme_name="device", description=DESCRIPTIONS["device"], auto_error=False)
    asked = _require("device")

    async def check(request: Request) -> None:
        memory: Memory = request.app.state.memory
        bearer = await scheme(request)
        known = memory.credentials.get(tokens.digest_of(bearer.credentials)) if bearer and memory.is_fresh() else None
        if known is None:
            await _CHECKS[asked](request)
        else:
            request.state.token_id, request.state.device_id = known.token, known.device

    async def who(request: Request, _bearer: Annotated[object, Depends(scheme)]) -> str:
        if not hasattr(request.state, "device_id"):
            raise Unauthenticated("the token belongs to no device", "enrol the device again")
        device: str = request.state.device_id
        return device

    _CHECKS[who] = check
    return who


def _secret(bearer: HTTPAuthorizationCredentials | None, role: Role) -> str:
    if bearer is None:
        raise Unauthenticated("no token was sent", f"send: Authorization: Bearer <{role} token>")
    return bearer.credentials


def identify(request: Request, secret: str) -> Token:
    """Return the token of a secret; wrong ones are counted by address. Raises Unauthenticated, TooMany."""
    guesses: Guesses = request.app.state.guesses
    address, digest = request.client.host if request.client else "", tokens.digest_of(secret)
    guesses.admit(address, digest)
    memory: Memory = request.app.state.memory
    mark = memory.credentials.mark()
    with reading(request.app.state.engine) as session:
        token = tokens.identify(session, secret)
        device = _known(session, token) if token else None
    if device:
        memory.credentials.put(digest, device, mark)
    if token is None:
        guesses.wrong(address, digest)
        raise Unauthenticated("the token is not valid", "ask the operator of the server for a new one")
    guesses.right(digest)
    return token


def _known(session: Session, token: Token) -> Known | None:
    """Return what is remembered of a device; nothing is of others, nor where a token ends by itself."""
    row = token.device
    if row is None or token.expires_at is not None:
        return None
    last = said(Holding(row.digest, row.previous, row.stage), row.client, row.boot)
    return Known(token.id, row.id, row.model, row.channel, last, attributes(session, row.id))


Viewer = Annotated[Token, Depends(_require("viewer", "publisher", "admin"))]
Publisher = Annotated[Token, Depends(_require("publisher", "admin"))]
Admin = Annotated[Token, Depends(_require("admin"))]
Enroller = Annotated[Token, Depends(_require("enroll", "admin"))]
DeviceToken = Annotated[Token, Depends(_require("device"))]
AskingDevice = Annotated[str, Depends(_known_device())]

Writing = Depends(WriteGate.admit, scope="function")
"""Of an endpoint that writes: it waits for its turn."""

Limit = Annotated[int, Query(ge=1, le=500, description="The most items wanted.")]
AfterNumber = Annotated[int, Query(ge=-1, le=2**31 - 1, description="`next` of the page before.")]
Newest = Annotated[bool, Query(description="Newest first; `after` then leads back.")]
AfterText = Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="`next` of the page before.")]


def numbered(
    session: Session, table: type[Row], model: str | None, limit: int, after: int, newest: bool = False
) -> Sequence[Row]:
    """Rows of a table in the order of their numbers, of one model if given: one more than the limit."""
    query = in_order(select(table), table.id, after, newest).limit(limit + 1)
    return session.scalars(query if model is None else query.where(table.model == model)).all()


def page(rows: Sequence[object], limit: int, show: type[Item], key: Callable[[Item], int | str]) -> Page[Item]:
    """Cut `limit + 1` rows down to a page, and say where the next one starts if there is one."""
    items = [show.model_validate(row) for row in rows[:limit]]
    return Page(items=items, next=key(items[-1]) if len(rows) > limit else None)
