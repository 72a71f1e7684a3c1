"""Commands that change published versions: recall, retire, renew."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from diffserver.choices.channels import STABLE
from diffserver.cli.connection import URL, Channel, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, listing, show, show_wide
from diffserver.cli.remote import Remote
from diffserver.cli.signing import Keys, change
from diffserver.errors import Conflict, Invalid


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (recall, retire, renew):
        app.command()(command)


def recall(
    model: ModelName,
    to: Annotated[int | None, typer.Option("--to", help="The version to go to. [default: the parent]", min=0)] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Go forward to the highest version again.")] = False,
    channel: Channel = STABLE,
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Send a channel's devices back to an earlier version, and sign the permission.

    They return to the slot that they kept, or take a snapshot. The next version starts from there, so the one recalled
    is no one's parent. Publishing it ends the permission, and so does --undo.

    Examples: `diffserver recall commands`, `diffserver recall commands --to 3`, `diffserver recall commands --undo`
    """
    with connected(server, token) as remote:
        details = remote.get(f"/v1/models/{model}")
        version = _destination(remote, details, channel, to, undo)
        expected: dict[str, Any] = {"model": model, "kind": "permit"}
        if version != details["newest"]:
            expected["version"] = version
        answer = change(remote, f"/v1/models/{model}/channel", {"version": version, "channel": channel}, expected, keys)
    show(answer, as_json, f"Devices of {model} go to version {version} ({answer['digest'][:12]}).")


def _destination(remote: Remote, details: Mapping[str, Any], channel: str, to: int | None, undo: bool) -> int:
    """Return the version to go to; raises Invalid, Conflict."""
    model, head = details["name"], details["channels"].get(channel)
    if to is not None and undo:
        raise Invalid("--to and --undo name two versions", "pass one of them")
    if head is None:
        raise Conflict(f"the channel {channel} of {model} has no version", "there is nothing to recall")
    if undo:
        return int(details["newest"])
    if to is not None:
        return to
    (version,) = remote.get(f"/v1/models/{model}/versions", after=head - 1, limit=1)["items"]
    if version["parent"] is None:
        raise Conflict(f"version {head} of {model} has no parent to go back to", "publish a better version")
    return int(version["parent"])


def retire(
    model: ModelName,
    before: Annotated[int, typer.Option("--before", help="Diffs to versions before this one go.", min=0)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however many devices would take a snapshot.")] = False,
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Drop old diffs and their bytes; a device that would need one takes a snapshot instead.

    The devices that run a version from which one of these diffs leads on are shown first, and you are asked.

    Example: `diffserver retire commands --before 900`
    """
    with connected(server, token) as remote:
        if not yes:
            _require_consent(remote.get(f"/v1/models/{model}/stranded", before=before), as_json)
        expected = {"model": model, "kind": "retire", "before": before}
        answer = change(remote, f"/v1/models/{model}/retire", {"before": before}, expected, keys)
    show(answer, as_json, f"{answer['dropped']} diffs of {model} are dropped.")


def _require_consent(stranded: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Show which devices would take a snapshot, if any, and ask; raises Conflict where nobody can be asked."""
    devices = sum(row["devices"] for row in stranded)
    if not devices:
        return
    if as_json:
        raise Conflict(f"{devices} devices would have to take a snapshot", "pass --yes to drop the diffs all the same")
    headings = ["channel", "runs", "devices", "bytes now", "then"]
    rows = [[row[name] for name in ("channel", "version", "devices", "bytes_now", "bytes_then")] for row in stranded]
    show_wide(listing("Devices that would take a snapshot", headings, rows))
    if not typer.confirm(f"Leave {devices} devices without their diffs?"):
        raise typer.Exit(1)


def renew(
    model: ModelName,
    restored: Annotated[
        bool,
        typer.Option("--restored", help="The server was restored from a backup: sign what is older than I saw last."),
    ] = False,
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Sign a model's metadata again before it expires; once a year, where the server does not hold its key.

    Examples: `diffserver renew commands --keys /media/stick/keys`, `diffserver renew commands --restored --keys …`
    """
    with connected(server, token) as remote:
        kind = "restored" if restored else "renew"
        change(remote, f"/v1/models/{model}/renew", {}, {"model": model, "kind": kind}, keys)
    show({"model": model}, as_json, f"The metadata of {model} is signed anew.")
