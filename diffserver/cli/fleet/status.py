"""The command that tells how a service does: its models and rollouts, devices that need a look, and its workers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer
from rich.table import Table

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.output import AsJson, line, listing, show, show_wide


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(status)


def status(server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show each model's channels, rollouts and devices that need a look; what expires; workers, and why trainings wait.

    Example: `diffserver status`
    """
    with connected(server, token) as remote:
        answer = remote.get("/v1/status")
    rows = [
        (worker["name"], "there" if worker["there"] else "gone", worker["training_id"], worker["last_seen"])
        for worker in answer["known_workers"]
    ]
    if not as_json:
        show_wide(*_models(answer["models"]))
    show(answer, as_json, listing("Workers", ["name", "state", "training", "last seen"], rows))
    if not as_json:
        waiting = answer["trainings"]["waiting"]
        why = f"; the first because {answer['why_waiting']}" if waiting else ""
        show(None, False, line(f"Worker beside the server: {answer['own_worker']}."))
        show(None, False, line(f"Trainings waiting: {waiting}{why}."))
        expiring = ", ".join(f"{item['role']} {item['expires'][:10]}" for item in answer["expiring"])
        show(None, False, line(f"Metadata that expires first: {expiring or 'none'}."))


def _models(models: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    rows = [
        (item["name"], ", ".join(f"{name} {'–' if at is None else at}" for name, at in item["channels"].items()),
         item["behind"], item["stuck"], item["failed"])
        for item in models
    ]  # fmt: skip
    yield listing("Models", ["model", "channels", "devices behind", "stuck", "failed"], rows)
    moving = [
        (rollout["id"], item["name"], rollout["channel"], f"{rollout['from_version']} → {rollout['to_version']}",
         rollout["state"], rollout["stage"], (rollout["verdict"] or {}).get("finding"), rollout["running"])
        for item in models for rollout in item["rollouts"]
    ]  # fmt: skip
    if moving:
        headings = ["rollout", "model", "channel", "versions", "state", "stage", "verdict", "devices that run it"]
        yield listing("Rollouts under way", headings, moving)
