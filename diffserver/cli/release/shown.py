"""Commands that show one candidate, one version, and a model's ledger of bytes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Group

from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, evaluation_table, line, listing, share, show, travel_line

RANKS = ("5", "25", "50", "75", "95")


def add_ledger_to(app: typer.Typer) -> None:
    """Add the command for the ledger."""
    app.command("ledger")(show_ledger)


def add_candidate_to(group: typer.Typer) -> None:
    """Add the command to those for one candidate."""
    group.callback()(lambda: None)
    group.command("show")(show_candidate)


def add_version_to(group: typer.Typer) -> None:
    """Add the command to those for one version."""
    group.callback()(lambda: None)
    group.command("show")(show_version)


def show_candidate(
    candidate: Annotated[int, typer.Argument(metavar="CANDIDATE", min=1, help="Its id.")],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show a candidate: its accuracy by test set, its drift, what travels, and what speaks against it.

    Example: `diffserver candidate show 7`
    """
    with connected(server, token) as remote:
        item = remote.get(f"/v1/candidates/{candidate}")
    tables = [evaluation_table(item["evaluation"], item["metric"])] if item["evaluation"] else []
    show(item, as_json, Group(*map(line, _candidate_lines(item)), *tables))


def drift(item: Mapping[str, Any]) -> str | None:
    """Say a candidate's drift against the full chain; None where it is not known."""
    known = [trial["drift"] for trial in item["tried"] if trial["chosen"] and trial["drift"] is not None]
    return f"{known[0]:+.2f}" if known else None


def _candidate_lines(item: Mapping[str, Any]) -> Iterator[str]:
    length = f"{item['payload']['length']:,} bytes, " if item["payload"] else ""
    yield f"Candidate: {item['id']} of {item['model']}, for version {item['number']}, {item['method']}, {item['state']}"
    yield f"Digest: {item['digest']}"
    yield f"Payload: {length}{share(item)}"
    if item["to_fetch"]:
        yield f"Travels: {travel_line(item)}"
    yield f"Drift: {drift(item) or 'not known: no fully retrained model stands beside it'}"
    yield f"Way back: {_way_back(item)}"
    yield f"Refusals: {'; '.join(item['refusals']) or 'none'}"
    yield from item["notes"]


def _way_back(item: Mapping[str, Any]) -> str:
    if item["parent_digest"] is None:
        return "none: a base has no version before it"
    return f"a device keeps version {item['parent_digest'][:12]}, and returns to it once that is signed"


def show_version(
    model: ModelName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0)],
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show a version, and what devices measured of it on its arrival and in the field, as percentiles of devices.

    Example: `diffserver version show commands 3`
    """
    with connected(server, token) as remote:
        item = remote.get(f"/v1/models/{model}/versions/{number}")
    measured = item["on_devices"]
    rows = [
        _percentiles("on arrival, %", measured["arrival"]),
        _percentiles("minus the server's, points", measured["difference"]),
        *(_percentiles(f"change in the field, {name}, points", found) for name, found in measured["field"].items()),
    ]
    name = f"Version {number} of {model} ({item['digest'][:12]}), {item['method']}. {travel_line(item)}"
    title = f"{item['metric']['name']} on devices"
    show(item, as_json, Group(line(name), listing(title, ["measured", "devices", *RANKS], rows)))


def _percentiles(name: str, found: Mapping[str, Any]) -> list[object]:
    values = found["values"]
    return [name, found["devices"], *(f"{values[rank]:.2f}" if values else "not enough" for rank in RANKS)]


def show_ledger(model: ModelName, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show what devices fetched for each version, against a snapshot for each of them.

    Example: `diffserver ledger commands`
    """
    with connected(server, token) as remote:
        item = remote.get(f"/v1/models/{model}/ledger")
    rows = [_entry(str(entry["version"]), entry["devices"], entry) for entry in item["versions"]]
    headings = ["version", "devices", "fetched", "metadata (reckoned)", "as snapshots", "share"]
    show(item, as_json, listing(f"Bytes of {model}", headings, [*rows, _entry("all", None, item)]))


def _entry(name: str, devices: int | None, entry: Mapping[str, Any]) -> list[object]:
    sent, whole = entry["fetched"] + entry["metadata"], entry["snapshots"]
    sizes = [f"{entry[part]:,}" for part in ("fetched", "metadata", "snapshots")]
    return [name, devices, *sizes, f"{sent / whole:.2%}" if whole else None]
