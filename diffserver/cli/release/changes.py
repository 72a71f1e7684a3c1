"""Commands that change published versions: downgrade, retire, renew."""

from typing import Annotated

import typer

from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, show
from diffserver.cli.signing import Keys, change


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (downgrade, retire, renew):
        app.command()(command)


def downgrade(
    model: ModelName,
    version: Annotated[int, typer.Argument(help="The version to go back to.", min=0)],
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Send a model's devices back to an earlier version, and sign the permission.

    They take it as a snapshot, or from the slot that they kept. Publishing the next version ends the permission.

    Example: `diffserver downgrade commands 3`
    """
    with connected(server, token) as remote:
        expected = {"model": model, "kind": "downgrade", "version": version}
        answer = change(remote, f"/v1/models/{model}/downgrade", {"version": version}, expected, keys)
    show(answer, as_json, f"Devices of {model} go back to version {version} ({answer['digest'][:12]}).")


def retire(
    model: ModelName,
    before: Annotated[int, typer.Option("--before", help="Diffs to versions before this one go.", min=0)],
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Drop old diffs and their bytes; a device that would need one takes a snapshot instead.

    Example: `diffserver retire commands --before 900`
    """
    with connected(server, token) as remote:
        expected = {"model": model, "kind": "retire", "before": before}
        answer = change(remote, f"/v1/models/{model}/retire", {"before": before}, expected, keys)
    show(answer, as_json, f"{answer['dropped']} diffs of {model} are dropped.")


def renew(
    model: ModelName, keys: Keys = None, server: Server = URL, token: Token = None, as_json: AsJson = False
) -> None:
    """Sign a model's metadata again before it expires; once a year, where the server does not hold its key.

    Example: `diffserver renew commands --keys /media/stick/keys`
    """
    with connected(server, token) as remote:
        change(remote, f"/v1/models/{model}/renew", {}, {"model": model, "kind": "renew"}, keys)
    show({"model": model}, as_json, f"The metadata of {model} is signed anew.")
