"""Commands for models and candidates that no one wants any longer: archive, restore, delete."""

from typing import Annotated

import typer

from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, listing, show


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for models."""
    group.command("list")(list_models)
    for command in (archive, restore, delete):
        group.command()(command)
    group.command("delete-candidate")(delete_candidate)


def list_models(
    archived: Annotated[bool, typer.Option("--archived", help="Also those that are archived.")] = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List models, and where their channels stand.

    Examples: `diffserver model list`, `diffserver model list --archived --json`
    """
    with connected(server, token) as remote:
        items = list(remote.pages("/v1/models", archived="true" if archived else None))
    rows = [
        (item["name"], item["task"], item["newest"],
         ", ".join(f"{name} {'–' if number is None else number}" for name, number in item["channels"].items()),
         item["archived"])
        for item in items
    ]  # fmt: skip
    show(items, as_json, listing("Models", ["model", "task", "newest", "channels", "archived"], rows))


def archive(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Archive a model: nothing new is made of it and lists leave it out; its devices are served as before.

    Example: `diffserver model archive commands`
    """
    _archive(model, True, server, token, as_json)


def restore(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Bring a model back from the archive.

    Example: `diffserver model restore commands`
    """
    _archive(model, False, server, token, as_json)


def delete(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Delete a model of which nothing was published; its name is free again.

    Example: `diffserver model delete commands`
    """
    with connected(server, token) as remote:
        remote.delete(f"/v1/models/{model}")
    show({"model": model, "deleted": True}, as_json, f"Model {model} is deleted.")


def delete_candidate(
    candidate: Annotated[int, typer.Argument(metavar="CANDIDATE", min=1)],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Delete a candidate that was not published.

    Example: `diffserver model delete-candidate 7`
    """
    with connected(server, token) as remote:
        remote.delete(f"/v1/candidates/{candidate}")
    show({"candidate": candidate, "deleted": True}, as_json, f"Candidate {candidate} is deleted.")


def _archive(model: str, archived: bool, server: str, token: str | None, as_json: bool) -> None:
    with connected(server, token) as remote:
        item = remote.patch(f"/v1/models/{model}", {"archived": archived})
    show(item, as_json, f"Model {model} is {'archived' if archived else 'in use again'}.")
