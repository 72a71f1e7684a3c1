"""Tokens: random secrets with a role, kept as their SHA-256, valid until they expire or are revoked.

What a role may do is the API's affair. A secret is returned once, when it is made.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from diffserver.catalog.names import require_name
from diffserver.errors import Forbidden, NotFound
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Token

Role = Literal["admin", "publisher", "viewer", "enroll", "device"]


def create(
    session: Session,
    role: Role,
    name: str,
    device_id: str | None = None,
    expires_at: datetime | None = None,
    uses: int | None = None,
) -> tuple[Token, str]:
    """Make a token; returns its row and the secret, which can't be had again. Raises Invalid."""
    require_name(name, "token")
    secret = f"ds_{role}_{secrets.token_urlsafe(32)}"
    limits = {"expires_at": expires_at, "uses": uses}
    token = Token(role=role, name=name, sha256=digest_of(secret), device_id=device_id, **limits)
    session.add(token)
    session.flush()
    return token, secret


def identify(session: Session, secret: str) -> Token | None:
    """Return the token of a secret, with its device; None if it is unknown, revoked or expired.

    The lookup is by hash, so its time says nothing about how close a guess was.
    """
    unexpired = or_(Token.expires_at.is_(None), Token.expires_at > utc_now())
    query = select(Token).where(Token.sha256 == digest_of(secret), Token.revoked_at.is_(None), unexpired)
    return session.scalars(query).one_or_none()


def spend(session: Session, token: Token) -> None:
    """Count one use of a token, in the transaction of what it is used for; raises Forbidden if none is left."""
    left = or_(Token.uses.is_(None), Token.used < Token.uses)
    counted = update(Token).where(Token.id == token.id, left).values(used=Token.used + 1).returning(Token.id)
    if session.execute(counted).one_or_none() is None:
        raise Forbidden(
            f"this token was made for {token.uses} devices, and they have enrolled", "ask the operator for another one"
        )


def list_all(session: Session, role: Role | None = None) -> Sequence[Token]:
    """All tokens, revoked ones too, oldest first; of one role if given."""
    query = select(Token).order_by(Token.id)
    return session.scalars(query if role is None else query.where(Token.role == role)).all()


def revoke(session: Session, token_id: int) -> Token:
    """End a token's validity, for ever; doing it again changes nothing. Raises NotFound."""
    token = session.get(Token, token_id)
    if token is None:
        raise NotFound(f"there is no token {token_id}", "list them with `diffserver token list`")
    token.revoked_at = token.revoked_at or utc_now()
    session.flush()
    return token


def revoke_device(session: Session, device_id: str) -> Sequence[Token]:
    """End the validity of a device's tokens, for ever. Raises NotFound."""
    tokens = session.scalars(select(Token).where(Token.device_id == device_id).order_by(Token.id)).all()
    if not tokens:
        raise NotFound(f"no token belongs to a device {device_id}", "list them with `diffserver devices <model>`")
    return [revoke(session, token.id) for token in tokens]


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret: all that is stored of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
