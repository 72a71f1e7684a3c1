"""The command that lists a model's devices."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from diffserver.cli.connection import URL, ModelName, Server, Token, connected
from diffserver.cli.output import NO_METRIC, AsJson, show_list, warn


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(devices)


def devices(
    model: ModelName,
    channel: Annotated[str | None, typer.Option("--channel", help="Those that follow this channel.")] = None,
    attributes: Annotated[
        list[str] | None, typer.Option("--attribute", metavar="NAME=VALUE", help="Those that have it. Repeatable.")
    ] = None,
    left: Annotated[bool, typer.Option("--left", help="Also those that were taken out of service.")] = False,
    behind: Annotated[
        bool, typer.Option("--behind", help="Those that run another version than their channel or rollout gives them.")
    ] = False,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Those silent in the middle of an update, or behind for more than a week.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Those whose last update failed.")] = False,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List a model's devices, the versions that they run and keep, and what became of their updates.

    A device that is silent said nothing for an hour (DIFFSERVER_UPDATE_SECONDS) in the middle of an update.

    Of several options, all have to hold.

    Examples: `diffserver devices commands --behind --failed`,
    `diffserver devices commands --attribute group=pilots --channel beta`
    """
    flags = {"left": left, "behind": behind, "stuck": stuck, "failed": failed}
    query = {"channel": channel, "attribute": attributes, **{name: "true" for name, on in flags.items() if on}}
    clones: list[str] = []
    with connected(server, token) as remote:
        metric = (remote.get(f"/v1/models/{model}")["metric"] or {}).get("name", NO_METRIC)
        items = _noting_clones(remote.pages(f"/v1/models/{model}/devices", **query), clones)
        show_list(items, as_json, f"Devices of {model}", _headings(metric), _row)
    if clones:
        warn(f"used by two machines at once: {', '.join(clones)}")
        warn("  revoke each (`diffserver device revoke`), and enrol every machine by itself")


def _noting_clones(items: Iterable[Mapping[str, Any]], clones: list[str]) -> Iterator[Mapping[str, Any]]:
    for item in items:
        if item["cloned"]:
            clones.append(item["id"])
        yield item


def _headings(metric: str) -> list[str]:
    return [
        "id", "device", "version", "kept", "channel", "update", "last report", f"{metric} measured", "cause", "reason",
        "attributes", "last seen",
    ]  # fmt: skip


def _row(device: Mapping[str, Any]) -> Sequence[object]:
    last = device["last_report"] or {}
    measured = last.get("error_rate_ppm")
    return (
        device["id"], device["name"], device["version"], device["kept"], device["channel"], _under_way(device),
        last.get("stage"), None if measured is None else f"{measured / 1e4:.2f} %", last.get("cause"), _reason(last),
        _attributes(device), device["last_seen"],
    )  # fmt: skip


def _attributes(device: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in sorted(device["attributes"].items())) or None


def _reason(report: Mapping[str, Any]) -> str | None:
    """Say why an update failed and, if so, that its device fetched the version whole again and again."""
    times = report.get("full_deliveries")
    whole = f"fetched whole as a fallback {times} times" if times else None
    return "; ".join(filter(None, (report.get("reason"), whole))) or None


def _under_way(device: Mapping[str, Any]) -> str | None:
    """Say that a device left, or how far its update is, if one is under way."""
    if device["left"]:
        return f"left {device['left'][:10]}"
    return device["stage"] and (f"silent since {device['stage']}" if device["silent"] else f"at {device['stage']}")
