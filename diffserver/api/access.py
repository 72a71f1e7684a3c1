"""What endpoints depend on: the service's parts, who is asking, and which page of a list is wanted."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sqlalchemy import Engine

from diffserver.api.answers import Page
from diffserver.api.guesses import Guesses
from diffserver.catalog import tokens
from diffserver.catalog.tokens import Role
from diffserver.errors import Forbidden, Unauthenticated
from diffserver.settings import Settings
from diffserver.storage.database import reading
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Token
from diffserver.trust.keys import Keyring
from diffserver.upkeep.watch import ObjectWatch

Item = TypeVar("Item", bound=BaseModel)

DESCRIPTIONS: dict[Role, str] = {
    "operator": "Made with `diffserver token create operator`.",
    "enroll": "Made with `diffserver token create enroll`; an operator's token does as well.",
    "device": "Given to a device when it enrols.",
}


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _objects(request: Request) -> Objects:
    objects: Objects = request.app.state.objects
    return objects


def _watch(request: Request) -> ObjectWatch:
    watch: ObjectWatch = request.app.state.watch
    return watch


def _keyring(request: Request) -> Keyring:
    return Keyring(request.app.state.settings.keys)


def _own_worker(request: Request) -> str:
    said: str = request.app.state.own_worker()
    return said


Config = Annotated[Settings, Depends(_settings)]
Database = Annotated[Engine, Depends(_engine)]
Store = Annotated[Objects, Depends(_objects)]
Watch = Annotated[ObjectWatch, Depends(_watch)]
Keys = Annotated[Keyring, Depends(_keyring)]
OwnWorker = Annotated[str, Depends(_own_worker)]


def _require(role: Role, *others: Role) -> Callable[..., Token]:
    scheme = HTTPBearer(scheme_name=role, description=DESCRIPTIONS[role], auto_error=False)
    allowed = (role, *others)

    def who(
        request: Request,
        engine: Database,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)],
    ) -> Token:
        if bearer is None:
            raise Unauthenticated("no token was sent", f"send: Authorization: Bearer <{role} token>")
        token = _identify(request, engine, bearer.credentials)
        request.state.token_id = token.id
        if token.device_id:
            request.state.device_id = token.device_id
        if token.role not in allowed:
            names = " or ".join(allowed)
            raise Forbidden(f"a token of role {names} is needed, this one is of role {token.role}", f"use {names}")
        return token

    return who


def _identify(request: Request, engine: Engine, secret: str) -> Token:
    guesses: Guesses = request.app.state.guesses
    address, digest = request.client.host if request.client else "", tokens.digest_of(secret)
    guesses.admit(address, digest)
    with reading(engine) as session:
        token = tokens.identify(session, secret)
    if token is None:
        guesses.wrong(address, digest)
        raise Unauthenticated("the token is not valid", "ask the operator of the server for a new one")
    guesses.right(digest)
    return token


Operator = Annotated[Token, Depends(_require("operator"))]
Enroller = Annotated[Token, Depends(_require("enroll", "operator"))]
DeviceToken = Annotated[Token, Depends(_require("device"))]

Limit = Annotated[int, Query(ge=1, le=500, description="The most items wanted.")]
AfterNumber = Annotated[int, Query(ge=-1, le=2**31 - 1, description="`next` of the page before.")]
AfterText = Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="`next` of the page before.")]


def page(rows: Sequence[object], limit: int, show: type[Item], key: Callable[[Item], int | str]) -> Page[Item]:
    """Cut `limit + 1` rows down to a page, and say where the next one starts if there is one."""
    items = [show.model_validate(row) for row in rows[:limit]]
    return Page(items=items, next=key(items[-1]) if len(rows) > limit else None)
