"""Rows of the audit log: by whom, in the transaction of the act, found again by what is asked."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from diffserver.catalog import audit, tokens
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing

BERTA = audit.Actor("berta@desk", audit.HOST)


def acts(engine: Engine, after: int = 0, limit: int = 10, **asked: object) -> list[str]:
    with reading(engine) as session:
        return [row.act for row in audit.entries(session, after, limit, **asked)]  # type: ignore[arg-type]


def test_a_row_names_the_token_and_not_its_secret(engine: Engine) -> None:
    with writing(engine) as session:
        token, secret = tokens.create(session, "publisher", "anna")
        audit.record(session, token, "candidate.publish", "speech", version=3)
        audit.record(session, BERTA, "database.migrate")
    with reading(engine) as session:
        first, second = audit.entries(session, 0, 10)
    assert (first.actor, first.role, first.token_id) == ("anna", "publisher", token.id)
    assert (first.model, first.details) == ("speech", {"version": 3})
    assert (second.actor, second.role, second.token_id, second.model) == ("berta@desk", "host", None, None)
    assert secret not in str(vars(first))


def test_what_is_rolled_back_leaves_no_row(engine: Engine) -> None:
    with writing(engine) as session:
        audit.record(session, BERTA, "token.create")
        session.rollback()
    assert acts(engine) == []


def test_rows_are_found_by_what_is_asked(engine: Engine) -> None:
    with writing(engine) as session:
        for act, model in (("model.archive", "speech"), ("token.create", None), ("model.archive", "other")):
            audit.record(session, BERTA, act, model)
            session.flush()
    assert acts(engine) == ["model.archive", "token.create", "model.archive"]
    assert acts(engine, limit=2) == ["model.archive", "token.create"]
    assert acts(engine, after=1) == ["token.create", "model.archive"]
    assert acts(engine, model="speech") == ["model.archive"]
    assert acts(engine, act="token.create") == ["token.create"]
    assert acts(engine, since=utc_now() + timedelta(minutes=1)) == []
