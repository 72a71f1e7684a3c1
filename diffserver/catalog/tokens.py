"""Tokens: random secrets with a role, kept as their SHA-256.

What a role may do is the API's affair. A secret is returned once, when it is made.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.catalog.names import require_name
from diffserver.errors import NotFound
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Token

Role = Literal["operator", "enroll", "device"]


def create(session: Session, role: Role, name: str, device_id: str | None = None) -> tuple[Token, str]:
    """Make a token; returns its row and the secret, which can't be had again. Raises Invalid."""
    require_name(name, "token")
    secret = f"ds_{role}_{secrets.token_urlsafe(32)}"
    token = Token(role=role, name=name, sha256=_hash(secret), device_id=device_id)
    session.add(token)
    session.flush()
    return token, secret


def identify(session: Session, secret: str) -> Token | None:
    """The token of a secret, its device with it; None if it is unknown or revoked.

    The lookup is by hash, so its time says nothing about how close a guess was.
    """
    found = select(Token).where(Token.sha256 == _hash(secret), Token.revoked_at.is_(None))
    return session.scalars(found).one_or_none()


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


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
