"""Commands for one device: show, set, move, revoke, decommission."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.output import AsJson, line, listing, show
from diffserver.errors import Invalid

DeviceId = Annotated[str, typer.Argument(metavar="DEVICE", help="Its id, as `diffserver devices <model>` shows it.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for devices."""
    group.command("show")(show_device)
    group.command("set")(set_attributes)
    for command in (move, revoke, decommission):
        group.command()(command)


def show_device(device: DeviceId, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show a device: what it runs and keeps, its attributes, its last reports.

    Example: `diffserver device show 0199a7c41d5e3f0a9b8c7d6e`
    """
    with connected(server, token) as remote:
        item = remote.get(f"/v1/devices/{device}")
    show(item, as_json, _described(item))


def set_attributes(
    device: DeviceId,
    attributes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="Attributes; NAME= removes one. `group` is a usual one.")
    ],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say what a device is, for rollouts and lists to choose by.

    Example: `diffserver device set 0199a7c41d5e3f0a9b8c7d6e group=pilots region=`
    """
    _change(device, {"attributes": _pairs(attributes)}, server, token, as_json)


def move(
    device: DeviceId,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel that it follows from now on.")],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Let a device follow another channel, from its next poll on.

    Example: `diffserver device move 0199a7c41d5e3f0a9b8c7d6e beta`
    """
    _change(device, {"channel": channel}, server, token, as_json)


def revoke(device: DeviceId, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Shut a device out: its tokens end, and it has to enrol again.

    Example: `diffserver device revoke 0199a7c41d5e3f0a9b8c7d6e`
    """
    with connected(server, token) as remote:
        item = remote.post(f"/v1/devices/{device}/revoke", {})
    show(item, as_json, f"Device {item['name']} is shut out until it enrols again.")


def decommission(device: DeviceId, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Take a device out of service: its tokens end, and lists leave it out; its reports stay.

    Example: `diffserver device decommission 0199a7c41d5e3f0a9b8c7d6e`
    """
    with connected(server, token) as remote:
        item = remote.delete(f"/v1/devices/{device}")
    show(item, as_json, f"Device {item['name']} is out of service.")


def _change(device: str, body: Mapping[str, Any], server: str, token: str | None, as_json: bool) -> None:
    with connected(server, token) as remote:
        item = remote.patch(f"/v1/devices/{device}", body)
    show(item, as_json, _described({"reports": [], **item}))


def _pairs(texts: Sequence[str]) -> dict[str, str | None]:
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, mark, _) in zip(texts, pairs, strict=True) if not (name and mark)]:
        raise Invalid(f"{wrong[0]!r} is no attribute", "give attributes as region=eu, or region= to remove one")
    return {name: value or None for name, _, value in pairs}


def _described(item: Mapping[str, Any]) -> Group:
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(item["attributes"].items())) or "none"
    lines = [
        f"Device      {item['name']} ({item['id']}), channel {item['channel']}, {item['client'] or 'never seen'}",
        f"Versions    runs {_number(item['version'])}, keeps {_number(item['kept'])}",
        f"Attributes  {attributes}",
        f"Last seen   {item['last_seen'] or 'never'}",
    ]
    if item["cloned"]:
        lines.append("Clones      two machines use this identity: revoke it, and enrol each by itself")
    if item["left"]:
        lines.append(f"Left        {item['left']}")
    rows = [(report["created"], report["stage"], report["cause"], report["reason"]) for report in item["reports"]]
    tables = [listing("Last reports", ["at", "report", "cause", "reason"], rows)] if rows else []
    return Group(*map(line, lines), *tables)


def _number(version: int | None) -> str:
    return "none that is known" if version is None else f"version {version}"
