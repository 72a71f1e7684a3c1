"""What is done on the server's machine is in the audit log, by whoever is at it, and no secret with it."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from diffserver.catalog import audit, tokens
from diffserver.main import app
from diffserver.settings import TOKEN_FILE, Settings
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Audit, Token
from tests.server.conftest import closing_engine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that was made, with a token of old that is pruned."""
    monkeypatch.setenv("DIFFSERVER_HOME", str(tmp_path))
    run("init")
    with closing_engine(Settings.under(tmp_path).database) as engine, writing(engine) as session:
        old, _ = tokens.create(session, "viewer", "old")
        session.execute(update(Token).where(Token.id == old.id).values(revoked_at=utc_now().replace(year=2020)))
    return tmp_path


def run(*words: str) -> None:
    done = CliRunner().invoke(app, words)
    if done.exception:
        raise done.exception


def rows(home: Path) -> list[Audit]:
    with closing_engine(Settings.under(home).database) as engine, reading(engine) as session:
        return list(audit.entries(session, 0, 100))


def test_a_home_begins_with_its_tables_and_a_token(home: Path) -> None:
    assert [row.act for row in rows(home)] == ["database.migrate", "token.create"]
    run("init")
    run("migrate")
    assert len(rows(home)) == 2, "again changes nothing"


@pytest.mark.parametrize(
    ("words", "act", "said"),
    [
        ("token create viewer --name berta", "token.create", "berta"),
        ("token revoke 1", "token.revoke", "init"),
        ("keys add-model speech", "keys.change", "speech"),
        ("keys rotate root", "keys.change", "root is held by 1 of"),
        ("keys accept-clock", "clock.accept", "moment"),
        ("prune --yes", "old.prune", "'tokens': 1"),
    ],
)
def test_a_command_that_changes_something_leaves_a_row(home: Path, words: str, act: str, said: str) -> None:
    run(*words.split())
    *_, last = rows(home)
    assert (last.act, last.role, last.token_id) == (act, audit.HOST, None)
    assert last.actor.startswith(f"{getpass.getuser()}@")
    assert said in str(last.details)
    secret = (home / TOKEN_FILE).read_text().strip()
    assert not any(secret in str(row.details) for row in rows(home))
    assert "ds_" not in str(last.details)


def test_what_changes_nothing_leaves_none(home: Path) -> None:
    for words in ("token list", "prune", "keys show", "verify"):
        run(*words.split())
    assert len(rows(home)) == 2
