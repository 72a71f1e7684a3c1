"""`diffserver backup` and `restore`: what they print, and what they ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from diffserver.errors import Conflict, Invalid, KeyMissing, NotFound
from diffserver.main import app
from diffserver.settings import Settings
from tests.server import factories
from tests.server.conftest import closing_engine, record


def typed(home: Path, *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, "--home", str(home)], input=answer)


def run(home: Path, *words: str) -> Any:
    """What a command prints as JSON."""
    done = typed(home, *words, "--json")
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    run(tmp_path / "home", "init")
    return tmp_path / "home"


def test_where_the_keys_are_is_said_and_they_are_asked_for(home: Path, tmp_path: Path) -> None:
    said = typed(home, "backup", str(tmp_path / "backups")).stdout
    assert f"The keys are not in it, but in {home / 'keys'}" in said
    with pytest.raises(KeyMissing, match="no key of snapshot and timestamp"):
        run(tmp_path / "new", "restore", str(tmp_path / "backups"))
    shutil.copytree(home / "keys", tmp_path / "new" / "keys")
    said = typed(tmp_path / "new", "restore", str(tmp_path / "backups")).stdout
    assert "to make one: diffserver token create admin" in said
    assert (tmp_path / "new" / "root.json").read_bytes() == (home / "root.json").read_bytes()


def test_what_is_there_is_replaced_only_if_told_and_confirmed(home: Path, tmp_path: Path) -> None:
    backups = str(tmp_path / "backups")
    run(home, "backup", backups, "--with-keys")
    with pytest.raises(Conflict, match="pass --replace"):
        run(home, "restore", backups)
    refused = typed(home, "restore", backups, "--replace", answer="n\n")
    assert isinstance(refused.exception, Invalid)
    assert "Next: diffserver serve" in typed(home, "restore", backups, "--replace", answer="y\n").stdout
    assert run(home, "restore", backups, "--replace", "--yes")["to_sign"] == []


def test_objects_that_are_lost_are_told_by_the_status(home: Path, tmp_path: Path) -> None:
    with closing_engine(Settings.under(home).database) as engine:
        record(engine, factories.base())
    done = typed(home, "backup", str(tmp_path / "backups"), "--json")
    assert (done.exit_code, len(json.loads(done.stdout)["missing"])) == (1, 3)
    assert "run: diffserver verify" in done.stderr


def test_a_folder_without_a_backup(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no backup in"):
        run(tmp_path / "new", "restore", str(home))
    assert not (tmp_path / "new").exists()
