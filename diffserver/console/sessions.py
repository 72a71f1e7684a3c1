"""Who is signed in: rows that every replica reads, found by the hash of a secret that only the browser has.

A session ends after SHIFT, and as soon as its token is revoked or expires.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from diffserver.catalog import audit
from diffserver.catalog.tokens import digest_of
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import SignIn, Token

SHIFT = timedelta(hours=12)
"""How long a session lasts at most."""

ROLES = ("viewer", "publisher", "admin")
"""Those that sign in, from the least to the most."""


def begin(session: Session, token: Token) -> str:
    """Sign a token's holder in; returns the secret for the browser's cookie, which can't be had again."""
    secret, moment = secrets.token_urlsafe(32), utc_now()
    session.execute(delete(SignIn).where(SignIn.ends_at <= moment))
    session.add(SignIn(sha256=digest_of(secret), token_id=token.id, ends_at=moment + SHIFT))
    audit.record(session, token, "console.sign_in")
    return secret


def find(session: Session, secret: str) -> Token | None:
    """Return the token of who is signed in; None if the session ended, or the token did."""
    moment = utc_now()
    valid = (
        SignIn.ends_at > moment,
        Token.revoked_at.is_(None),
        or_(Token.expires_at.is_(None), Token.expires_at > moment),
    )
    query = select(Token).join(SignIn, SignIn.token_id == Token.id)
    return session.scalars(query.where(SignIn.sha256 == digest_of(secret), *valid)).one_or_none()


def end(session: Session, secret: str) -> None:
    """Sign out."""
    session.execute(delete(SignIn).where(SignIn.sha256 == digest_of(secret)))


def form_token(secret: str) -> str:
    """Return what a session's forms carry, so that no other site can make one."""
    return hmac.new(secret.encode(), b"form", "sha256").hexdigest()


def is_form_token(secret: str, text: str) -> bool:
    """Tell whether a form was made for this session."""
    return hmac.compare_digest(form_token(secret).encode(), text.encode())
