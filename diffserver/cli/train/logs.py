"""The command for what workers said of a training."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.output import show_as_they_come
from diffserver.cli.remote import Remote

LOOK_SECONDS = 1.0


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    number: Annotated[int, typer.Argument(metavar="TRAINING")],
    ever: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training is over.")] = False,
    as_lines: Annotated[bool, typer.Option("--json", help="Print JSON, a line of the log a line.")] = False,
    server: Server = URL,
    token: Token = None,
) -> None:
    """Show what workers said of a training: its phases, what was saved and gone on from, warnings, why it failed.

    Examples: `diffserver logs 7`, `diffserver logs 7 --follow`, `diffserver logs 7 --json > 7.jsonl`
    """
    with connected(server, token) as remote:
        said = _said(remote, number, ever)
        show_as_they_come(said, as_lines, lambda item: f"{item['at'][:19]} {item['level']} {item['text']}")


def _said(remote: Remote, number: int, ever: bool) -> Iterator[dict[str, Any]]:
    """Yield the lines of a training's log so far or, if `ever`, as they come until the training is over."""
    after, ended = 0, False
    while True:
        # Asked before the lines are: what is said of the end comes soon after it, with one look more.
        over = remote.get(f"/v1/trainings/{number}")["state"] not in ("queued", "running")
        while items := remote.get(f"/v1/trainings/{number}/log", after=after, limit=500)["items"]:
            yield from items
            after = items[-1]["number"]
        if not ever or ended:
            return
        ended = over
        time.sleep(LOOK_SECONDS)
