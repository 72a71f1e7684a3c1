"""`diffserver experiment`, quickly."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diffserver.cli.train.experiment import add_to
from diffserver.errors import Invalid
from diffserver.experiment import results
from diffserver.tasks import TaskError


def app() -> typer.Typer:
    group = typer.Typer()
    group.command("other")(lambda: None)
    add_to(group)
    return group


def test_help_shows_an_example() -> None:
    shown = CliRunner().invoke(app(), ["experiment", "chain", "--help"], terminal_width=200)
    assert shown.exit_code == 0
    assert "diffserver experiment chain -m sparse" in " ".join(shown.output.split())


def test_a_task_that_makes_no_data_needs_a_folder(tmp_path: Path) -> None:
    gestures = Path(__file__).parents[4] / "examples" / "gestures" / "gestures.py"
    done = CliRunner().invoke(app(), ["experiment", "chain", "--task", str(gestures), "--folder", str(tmp_path)])
    assert isinstance(done.exception, Invalid)
    assert "gestures makes no data" in done.exception.detail
    assert "--data" in done.exception.remedy


def test_an_unknown_task_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app(), ["experiment", "chain", "--task", "vision", "--folder", str(tmp_path)])
    assert isinstance(done.exception, TaskError)
    assert "known: asr" in str(done.exception)


@pytest.mark.slow
def test_a_quick_experiment_runs_through(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="the corpus needs espeak-ng: pip install 'diffserver[demo]'")
    arguments = ["experiment", "chain", "--quick", "-m", "sparse", "-m", "topk", "--updates", "1"]
    where = ["--folder", str(tmp_path / "work"), "--json", str(tmp_path / "made" / "chain.json")]
    done = CliRunner().invoke(app(), [*arguments, *where])
    assert done.exit_code == 0, done.output
    quick_results = results.read(tmp_path / "made" / "chain.json")
    assert [row.method for row in quick_results.runs] == ["full", "sparse", "topk"]
    assert all(row.payload_share <= row.budget for row in quick_results.runs)
    assert (tmp_path / "made" / "chain-drift.png").exists()
    joined = CliRunner().invoke(
        app(), ["experiment", "join", str(tmp_path / "made" / "chain.json"), "--json", str(tmp_path / "all.json")]
    )
    assert joined.exit_code == 0, joined.output
    assert len(results.read(tmp_path / "all.json").runs) == 3
