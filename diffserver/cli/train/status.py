"""The command that tells how a server does: who takes trainings there, and what waits for whom."""

import typer

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.output import AsJson, line, listing, show


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(status)


def status(server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show which workers a server has, whether they are at a training, and why trainings wait.

    Example: `diffserver status`
    """
    with connected(server, token) as remote:
        answer = remote.get("/v1/status")
    rows = [
        (worker["name"], "there" if worker["there"] else "gone", worker["training_id"], worker["last_seen"])
        for worker in answer["known_workers"]
    ]
    show(answer, as_json, listing("Workers", ["name", "state", "training", "last seen"], rows))
    if not as_json:
        waiting = answer["trainings"]["waiting"]
        why = f"; the first because {answer['why_waiting']}" if waiting else ""
        show(None, False, line(f"Worker beside the server: {answer['own_worker']}."))
        show(None, False, line(f"Trainings waiting: {waiting}{why}."))
