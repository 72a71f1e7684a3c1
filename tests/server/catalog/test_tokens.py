import hashlib

import pytest
from sqlalchemy import Engine, text

from diffserver.catalog import tokens
from diffserver.errors import NotFound
from diffserver.storage.database import reading, writing


def test_a_secret_identifies_its_token_and_is_kept_nowhere(engine: Engine) -> None:
    with writing(engine) as session:
        token, secret = tokens.create(session, "admin", "anna")
    assert secret.startswith("ds_admin_")
    assert len(secret) > 50
    with reading(engine) as session:
        found = tokens.identify(session, secret)
        stored = session.execute(text("SELECT * FROM tokens")).one()
    assert found is not None
    assert (found.id, found.role, found.name) == (token.id, "admin", "anna")
    assert not any(secret in str(value) for value in stored)
    assert hashlib.sha256(secret.encode()).hexdigest() in stored


@pytest.mark.parametrize("guess", ["", "ds_admin_", "ds_operator_" + "A" * 43, "\x00", "ü"])
def test_a_guess_identifies_nothing(engine: Engine, guess: str) -> None:
    with writing(engine) as session:
        tokens.create(session, "admin", "anna")
        assert tokens.identify(session, guess) is None


def test_revoking_is_final_and_can_be_repeated(engine: Engine) -> None:
    with writing(engine) as session:
        token, secret = tokens.create(session, "enroll", "factory")
        other, _ = tokens.create(session, "admin", "anna")
        first = tokens.revoke(session, token.id).revoked_at
        assert tokens.revoke(session, token.id).revoked_at == first
        assert tokens.identify(session, secret) is None
        assert [token.id for token in tokens.made(session)] == [token.id, other.id]


def test_revoking_an_unknown_token_says_so(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no token 7"), writing(engine) as session:
        tokens.revoke(session, 7)
