"""Commands for channels: list, create, ask for one person or two."""

from typing import Annotated, Any

import typer

from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, listing, show

ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name.")]
Persons = Annotated[
    bool,
    typer.Option("--two-persons/--one-person", help="Whether what one person asks for waits for another's approval."),
]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for channels."""
    group.command("list")(list_channels)
    group.command("create")(create)
    group.command("set")(set_persons)


def list_channels(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """List a model's channels, the versions at which they stand, and how many devices follow them.

    Example: `diffserver channels list commands`
    """
    with connected(server, token) as remote:
        items = remote.get(f"/v1/models/{model}/channels")["items"]
    rows = [(item["name"], item["version"], item["devices"], _persons(item)) for item in items]
    show(items, as_json, listing(f"Channels of {model}", ["channel", "version", "devices", "persons"], rows))


def create(
    model: ModelName,
    channel: ChannelName,
    at: Annotated[int | None, typer.Option("--at", help="The version. [default: where stable stands]", min=0)] = None,
    two_persons: Persons = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make a channel for devices to follow (`diffserver device move`, `diffclient enroll --channel`).

    Example: `diffserver channels create commands beta`
    """
    with connected(server, token) as remote:
        body = {"name": channel, "version": at, "two_persons": two_persons}
        item = remote.post(f"/v1/models/{model}/channels", body)
    show(item, as_json, _told(item))


def set_persons(
    model: ModelName,
    channel: ChannelName,
    two_persons: Persons,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say whether it takes two persons to move a channel forward.

    Example: `diffserver channels set commands stable --two-persons`
    """
    with connected(server, token) as remote:
        item = remote.patch(f"/v1/models/{model}/channels/{channel}", {"two_persons": two_persons})
    show(item, as_json, _told(item))


def _persons(item: Any) -> str:
    return "two" if item["two_persons"] else "one"


def _told(item: Any) -> str:
    at = "no version yet" if item["version"] is None else f"version {item['version']}"
    moves = "two persons move" if item["two_persons"] else "one person moves"
    return f"Channel {item['name']} of {item['model']} stands at {at}; {moves} it."
