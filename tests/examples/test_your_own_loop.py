"""docs/your-own-loop.md as it stands: its code runs from top to bottom in an empty folder, and then its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")
pytest.importorskip("transformers", reason="the page shows its Trainer: pip install 'diffserver[trainers]'")

from typer.testing import CliRunner

from diffclient.tensors.snapshot import Snapshot
from diffserver.demo.run import serving
from diffserver.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-loop.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/your-own-loop.md", "exec"), names)
    assert names["before"] < 0.7 < 0.9 < names["after"]
    assert names["in_int8"] > 0.9
    assert names["heard"][0][0] == 1
    publishing, files = ([line[2:] for line in block.splitlines()] for block in blocks("console"))
    said = [commanded(line) for line in files]
    assert "made by sparse in 200 steps" in said[0]
    assert "warning: this diff is not trained" in said[3]
    published = served(publishing, tmp_path / "home", monkeypatch)
    assert "measured by its maker, not by this server: eight classes" in published[2]
    assert Snapshot(tmp_path / "published.safetensors").digest() == Snapshot(tmp_path / "v1.safetensors").digest()
    versions = [Snapshot(tmp_path / f"{name}.safetensors").digest() for name in ("v0", "v1", "again")]
    assert versions[1] == versions[2] != versions[0]


def commanded(line: str) -> str:
    """What a command of the page prints."""
    program, *words = shlex.split(line)
    done = CliRunner().invoke(app, words)
    assert (program, done.exit_code) == ("diffserver", 0), done.exception
    return done.output


def served(lines: list[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What commands of the page print where a server runs."""
    monkeypatch.setenv("DIFFSERVER_HOME", str(home))
    commanded("diffserver init")
    with serving(home) as server:
        monkeypatch.setenv("DIFFSERVER_URL", server.url)
        return [commanded(line) for line in lines]
