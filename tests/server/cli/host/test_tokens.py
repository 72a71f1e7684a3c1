"""`diffserver token`: what it takes, and what it prints."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from diffserver.catalog import tokens, versions
from diffserver.errors import Invalid, NotFound
from diffserver.main import app
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server.conftest import closing_engine


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a device, whose token is the first."""
    with closing_engine(Settings.under(tmp_path).database) as engine:
        migrate.upgrade(engine)
        with writing(engine) as session:
            versions.open_model(session, "speech", "asr")
            session.add(Device(id="a" * 24, model="speech", name="kitchen", channel="stable"))
            session.flush()
            tokens.create(session, "device", "kitchen", "a" * 24)
    return tmp_path


def run(home: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, ["token", *words, "--json", "--home", str(home)])
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "lasting"),
    [
        (["enroll"], timedelta(days=30)),
        (["enroll", "--expires", "12h"], timedelta(hours=12)),
        (["enroll", "--expires", "90m"], timedelta(minutes=90)),
        (["enroll", "--expires", "never"], None),
        (["admin"], None),
        (["viewer", "--expires", "7d"], timedelta(days=7)),
    ],
)
def test_a_token_expires_as_it_is_told(home: Path, words: list[str], lasting: timedelta | None) -> None:
    made = run(home, "create", *words)
    assert made["token"].startswith(f"ds_{words[0]}_")
    if lasting is None:
        assert made["expires_at"] is None
    else:
        until = datetime.fromisoformat(made["expires_at"]) - utc_now()
        assert timedelta(0) <= lasting - until < timedelta(minutes=1)


@pytest.mark.parametrize(
    "expires", ["0d", "-1d", "30", "d", "1y", "1.5d", "٣d", "36501d", "999999999d", "9" * 30 + "d"]
)
def test_a_time_that_is_none_is_refused(home: Path, expires: str) -> None:
    with pytest.raises(Invalid, match="is no time to be valid for"):
        run(home, "create", "enroll", "--expires", expires)


def test_the_list_says_whose_a_token_is_and_how_much_of_it_is_left(home: Path) -> None:
    run(home, "create", "enroll", "--uses", "5")
    (device,), (enroll,) = run(home, "list", "--device", "a" * 24), run(home, "list")
    assert (device["role"], device["device_id"]) == ("device", "a" * 24)
    assert (enroll["role"], enroll["device_id"], enroll["uses"], enroll["used"]) == ("enroll", None, 5, 0)
    shown = CliRunner().invoke(app, ["token", "list", "--home", str(home)], env={"COLUMNS": "200"}).stdout
    assert "a" * 24 not in shown
    assert "0 of 5" in shown


@pytest.mark.parametrize("which", ["1", "a" * 24])
def test_a_token_is_revoked_by_its_own_id_or_its_devices(home: Path, which: str) -> None:
    assert run(home, "revoke", which)["revoked"]
    assert run(home, "list", "--device", "a" * 24)[0]["revoked_at"]


@pytest.mark.parametrize(
    ("which", "error"), [("7", NotFound), ("b" * 24, NotFound), ("kitchen", Invalid), ("9" * 12, Invalid)]
)
def test_what_is_no_id_is_refused(home: Path, which: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(home, "revoke", which)
