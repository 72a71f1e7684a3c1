"""Tokens: random secrets with a role, kept as their SHA-256, valid until they expire or are revoked.

What a role may do is the API's affair. A secret is returned once, when it is made.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from diffserver.catalog.names import require_name
from diffserver.errors import Conflict, Forbidden, Invalid, NotFound
from diffserver.storage.changes import UNTOLD
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Device, Token

Role = Literal["admin", "publisher", "viewer", "enroll", "device"]
MadeFor = Literal["admin", "publisher", "viewer", "enroll"]
"""The roles that tokens are made for when asked to; a device gets its token when it enrols."""

ENROLL_FOR = timedelta(days=30)
"""How long an enrolment token is valid of which nothing else is said."""


def create(
    session: Session,
    role: Role,
    name: str,
    device_id: str | None = None,
    expires_at: datetime | None = None,
    uses: int | None = None,
) -> tuple[Token, str]:
    """Make a token; returns its row and the secret, which can't be had again. Raises Invalid."""
    token, secret = new(role, name, device_id, expires_at, uses)
    session.add(token)
    session.flush()
    return token, secret


def new(
    role: Role,
    name: str,
    device_id: str | None = None,
    expires_at: datetime | None = None,
    uses: int | None = None,
) -> tuple[Token, str]:
    """Return a token that is yet to be added, and its secret; raises Invalid."""
    require_name(name, "token")
    if uses is not None and role != "enroll":
        raise Invalid(f"a token of role {role} is used without end", "limit the uses of tokens to enrol with alone")
    secret = f"ds_{role}_{secrets.token_urlsafe(32)}"
    limits = {"expires_at": expires_at, "uses": uses}
    return Token(role=role, name=name, sha256=digest_of(secret), device_id=device_id, **limits), secret


def expiry(role: MadeFor, given: datetime | None, moment: datetime) -> datetime | None:
    """Return when a token ends that is made at a moment: as given, else by its role. Raises Invalid."""
    if given is not None and given <= moment:
        raise Invalid("the token would have expired already", "name a later time")
    return given or (moment + ENROLL_FOR if role == "enroll" else None)


def identify(session: Session, secret: str) -> Token | None:
    """Return the token of a secret, with its device; None if it is unknown, revoked or expired.

    The lookup is by hash, so its time says nothing about how close a guess was.
    """
    unexpired = or_(Token.expires_at.is_(None), Token.expires_at > utc_now())
    query = select(Token).where(Token.sha256 == digest_of(secret), Token.revoked_at.is_(None), unexpired)
    return session.scalars(query).one_or_none()


def spend(session: Session, token: Token, times: int = 1) -> None:
    """Count uses of a token, in the transaction of what it is used for; raises Forbidden if too few are left."""
    left = or_(Token.uses.is_(None), Token.used + times <= Token.uses)
    counted = update(Token).where(Token.id == token.id, left).values(used=Token.used + times).returning(Token.id)
    if session.execute(counted.execution_options(**UNTOLD)).one_or_none() is None:
        raise Forbidden(
            f"this token was made for {token.uses} devices, and they have enrolled", "ask the operator for another one"
        )


def of_device(session: Session, device_id: str) -> Sequence[Token]:
    """The tokens of a device, revoked ones too, oldest first."""
    return session.scalars(select(Token).where(Token.device_id == device_id).order_by(Token.id)).all()


def made(session: Session, after: int = 0, limit: int | None = None) -> Sequence[Token]:
    """The tokens that were made when asked to, from the one after that number: those of devices are not among them."""
    query = select(Token).where(Token.device_id.is_(None), Token.id > after)
    return session.scalars(query.order_by(Token.id).limit(limit)).all()


def holder(session: Session, secret: str) -> Device | None:
    """The device that a token was given to, also where it is valid no longer; None if it was given to none."""
    token = session.scalars(select(Token).where(Token.sha256 == digest_of(secret))).one_or_none()
    return None if token is None else token.device


def revoke_made(session: Session, token_id: int, by: Token) -> Token:
    """End a token that was made when asked to, but not the one that asks for it. Raises NotFound, Conflict."""
    token = session.get(Token, token_id)
    if token is not None and token.device_id is not None:
        raise NotFound(f"token {token_id} is a device's", f"POST /v1/devices/{token.device_id}/revoke")
    if token_id == by.id:
        raise Conflict("a token does not end itself", "use another one, or `diffserver token revoke` at the server")
    return revoke(session, token_id)


def revoke(session: Session, token_id: int) -> Token:
    """End a token's validity, for ever; doing it again changes nothing. Raises NotFound."""
    token = session.get(Token, token_id)
    if token is None:
        raise NotFound(f"there is no token {token_id}", "list them with `diffserver token list`")
    token.revoked_at = token.revoked_at or utc_now()
    session.flush()
    return token


def revoke_device(session: Session, device: Device) -> Sequence[Token]:
    """End the validity of a device's tokens, for ever: it has to enrol again."""
    return [revoke(session, token.id) for token in of_device(session, device.id)]


def described(token: Token) -> dict[str, Any]:
    """Return what the audit log says of a token: all but its secret, as plain JSON values."""
    until = token.expires_at and token.expires_at.isoformat()
    return {"token": token.id, "role": token.role, "of": token.name, "expires": until, "uses": token.uses}


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret: all that is stored of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
