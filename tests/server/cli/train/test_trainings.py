"""`diffserver train` and `base`: what is refused before a server is asked."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from diffserver.cli.train.trainings import base, train
from diffserver.errors import Invalid


@pytest.mark.parametrize("command", ["train", "base"])
def test_text_that_sets_no_parameter_is_refused(command: str) -> None:
    app = typer.Typer()
    app.command("base")(base)
    app.command("train")(train)
    done = CliRunner().invoke(app, [command, "m", "--data", ".", "--set", "steps=9", "--set", "spread"])
    assert isinstance(done.exception, Invalid)
    assert "'spread' sets no parameter" in done.exception.detail
