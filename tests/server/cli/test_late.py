"""Groups of commands that are imported when they are asked for."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from diffserver.cli.late import add_late


@pytest.mark.parametrize(
    ("words", "status", "told", "filled"),
    [
        ([], 2, "Far things", 0),
        (["near"], 0, "here", 0),
        (["far"], 2, "Go there", 1),
        (["far", "go"], 0, "there", 1),
        (["far", "gone"], 2, "Did you mean 'go'", 1),
    ],
)
def test_a_group_is_filled_once_and_only_when_it_is_asked_for(
    words: list[str], status: int, told: str, filled: int
) -> None:
    fillings = []

    def fill(group: typer.Typer) -> None:
        fillings.append(group)
        group.command("go", help="Go there.")(lambda: typer.echo("there"))
        group.command("stay")(lambda: None)

    app = typer.Typer(no_args_is_help=True)
    app.command("near")(lambda: typer.echo("here"))
    add_late(app, "far", "Far things.", fill)
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, len(fillings)) == (status, filled)
    assert told in done.output
