"""The audit log: who did what, when and by which token, a row an act.

A row is written in the transaction of its act, so that neither is there without the other. What devices do is not in
it, but that they enrolled. No secret is passed here: a token is named by its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.storage.database import in_order
from diffserver.storage.tables import Audit, Token

HOST = "host"
"""The role of whoever types commands on the server's machine, where no token is asked for."""


@dataclass(frozen=True)
class Actor:
    """Who does something: a token's name, role and number, or a machine's user."""

    name: str
    role: str
    token_id: int | None = None

    @classmethod
    def of(cls, token: Token) -> "Actor":
        """Return the holder of a token."""
        return cls(token.name, token.role, token.id)


def record(session: Session, who: Token | Actor, act: str, model: str | None = None, **details: Any) -> None:
    """Write down an act, such as `candidate.publish`, in its own transaction; details are plain JSON values."""
    actor = who if isinstance(who, Actor) else Actor.of(who)
    by = {"actor": actor.name, "role": actor.role, "token_id": actor.token_id}
    session.add(Audit(**by, act=act, model=model, details=details))


def entries(
    session: Session,
    after: int,
    limit: int,
    model: str | None = None,
    act: str | None = None,
    since: datetime | None = None,
    newest: bool = False,
) -> Sequence[Audit]:
    """The rows after one of that number, oldest or `newest` first: of one model or act, from a moment on, if given."""
    query = in_order(select(Audit), Audit.id, after, newest).limit(limit)
    if model is not None:
        query = query.where(Audit.model == model)
    if act is not None:
        query = query.where(Audit.act == act)
    if since is not None:
        query = query.where(Audit.at >= since)
    return session.scalars(query).all()
