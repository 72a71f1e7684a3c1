"""`diffserver objects copy`: from where, to where, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from diffserver.errors import Invalid, NotFound, Unavailable
from diffserver.main import app
from diffserver.settings import Settings
from diffserver.storage.object_store import Objects
from tests.server.s3_server import BUCKET
from tests.server.stored import spoil


def typed(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["objects", "copy", *words, "--home", str(home)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    objects = Objects(Settings.under(tmp_path / "home").objects)
    for data in (b"one", b"three"):
        objects.put(data)
    return tmp_path / "home"


def test_a_home_moves_to_s3_and_back(home: Path, s3: Callable[[], str], tmp_path: Path) -> None:
    url = s3()
    said = typed(home, url).stdout
    assert f"Copied 2 objects, 8 bytes, to {url}; 0 were there before." in said
    assert f"Next: set DIFFSERVER_OBJECTS={url}" in said
    back = (tmp_path / "back").as_uri()
    done = json.loads(typed(home, url, back, "--json").stdout)
    assert done == {"from": url, "to": back, "copied": 2, "bytes": 8, "there": 0, "lost": []}
    assert json.loads(typed(home, url, back, "--json").stdout)["there"] == 2
    assert [path.name for path in home.iterdir()] == ["objects"]


def test_what_is_damaged_is_told_by_the_status(home: Path, tmp_path: Path) -> None:
    source = Objects(Settings.under(home).objects)
    spoil(source, broken := source.put(b"one").sha256)
    done = typed(home, (tmp_path / "copy").as_uri(), "--json")
    assert (done.exit_code, json.loads(done.stdout)["lost"]) == (1, [broken])
    assert f"object {broken} is missing or damaged at file://" in done.stderr
    assert "run: diffserver verify --repair" in done.stderr


@pytest.mark.parametrize(
    ("places", "error", "cause"),
    [
        (["/srv/objects"], Invalid, "'/srv/objects' names no store: a URL that starts with file://"),
        (["memory://"], Invalid, "gone with its process"),
        (["file:///a", "file:///b", "file:///c"], Invalid, "from one store to one other"),
        (["file:///nowhere/at%20all", "file:///tmp/b"], NotFound, "there is no folder /nowhere/at all to copy from"),
        (["s3://a/b", "s3://a/b/"], Invalid, "s3://a/b is where the objects are already"),
    ],
)
def test_stores_that_cannot_be(home: Path, places: list[str], error: type[Exception], cause: str) -> None:
    done = typed(home, *places)
    assert isinstance(done.exception, error)
    assert cause in str(done.exception)


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there(home: Path) -> None:
    done = typed(home, f"s3://not-{BUCKET}")
    assert isinstance(done.exception, Unavailable)
    assert "404 Not Found" in done.exception.detail
