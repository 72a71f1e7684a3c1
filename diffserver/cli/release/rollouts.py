"""Commands for rollouts: start, list, show, watch, approve, pause, resume, abort."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from diffserver.choices.channels import STABLE
from diffserver.choices.rollouts import EVIDENCE, LEAST, MARGIN, MOST_FAILURES
from diffserver.cli.connection import URL, Channel, ModelName, Server, Token, connected
from diffserver.cli.output import AsJson, console, line, listing, show
from diffserver.cli.release import way
from diffserver.cli.signing import Keys, change

Number = Annotated[int, typer.Argument(metavar="ROLLOUT", help="The rollout's number.", min=1)]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for rollouts."""
    for command in (start, watch, approve, pause, resume, abort):
        group.command()(command)
    group.command("list")(list_rollouts)
    group.command("show")(show_rollout)


def start(
    model: ModelName,
    version: Annotated[int, typer.Option("--version", help="The published version to lead the channel to.", min=0)],
    stages: way.Stages = way.STAGES,
    only: way.Only = None,
    channel: Channel = STABLE,
    gate: way.Gate = EVIDENCE,
    wait: way.Wait = way.NO_WAIT,
    window: way.Hours = None,
    by: way.By = None,
    measure: way.Measure = None,
    margin: way.Margin = MARGIN,
    least: way.Least = LEAST,
    most_failures: way.MostFailures = MOST_FAILURES,
    keys: Keys = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Lead a channel in stages to a version that was published; `publish --stages` does both at once.

    Between two stages the gate looks at what devices report. It goes on, waits for more, or aborts: then the devices
    that have the version return. What it may go back to is signed now.

    Examples: `diffserver rollouts start commands --version 6`,
    `diffserver rollouts start commands --version 6 --stages group=pilots,10%,100% --wait 24h --by region`,
    `diffserver rollouts start commands --version 6 --only region=eu --stages 10%,50%,100%`
    """
    chosen = way.body(channel, stages, only, gate, wait, window, by, measure, margin, least, most_failures)
    with connected(server, token) as remote:
        path = f"/v1/models/{model}/rollouts"
        answer = change(remote, path, {"version": version, **chosen}, {"model": model, "kind": "permit"}, keys)
    show(answer, as_json, described(answer))


def list_rollouts(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Of this model only.")] = None,
    server: Server = URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List rollouts, oldest first, those too that have ended."""
    with connected(server, token) as remote:
        items = list(remote.pages("/v1/rollouts", **({"model": model} if model else {})))
    rows = [
        (item["id"], item["model"], item["channel"], f"{item['from_version']} → {item['to_version']}", item["state"],
         item["stage"], item["running"], (item["verdict"] or {}).get("finding"), item["reason"] or None)
        for item in items
    ]  # fmt: skip
    headings = ["id", "model", "channel", "versions", "state", "stage", "devices", "verdict", "reason"]
    show(items, as_json, listing("Rollouts", headings, rows))


def show_rollout(rollout: Number, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Show a rollout: its stage, what the gate says, what is missing, and what became of the devices."""
    with connected(server, token) as remote:
        item = remote.get(f"/v1/rollouts/{rollout}")
    show(item, as_json, described(item))


def watch(
    rollout: Number,
    every: Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=0.2)] = 5.0,
    server: Server = URL,
    token: Token = None,
) -> None:
    """Show a rollout as it goes on, until it ends; Ctrl-C ends the watching alone."""
    with connected(server, token) as remote:
        item = remote.get(f"/v1/rollouts/{rollout}")
        if not console.is_terminal:
            _watch_lines(remote, item, every)
            return
        with Live(described(item), console=console, auto_refresh=False) as live:
            while item["ended"] is None:
                time.sleep(every)
                item = remote.get(f"/v1/rollouts/{rollout}")
                live.update(described(item), refresh=True)


def approve(rollout: Number, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Let a rollout begin, as the second person, or enter its next stage whatever the gate says.

    Example: `diffserver rollouts approve 3`
    """
    _act(rollout, "approve", {}, server, token, as_json)


def pause(
    rollout: Number, reason: Reason = "by hand", server: Server = URL, token: Token = None, as_json: AsJson = False
) -> None:
    """Give the version to no further device for now; those that have it keep it."""
    _act(rollout, "pause", {"reason": reason}, server, token, as_json)


def resume(rollout: Number, server: Server = URL, token: Token = None, as_json: AsJson = False) -> None:
    """Go on with a rollout that was paused."""
    _act(rollout, "resume", {}, server, token, as_json)


def abort(
    rollout: Number, reason: Reason = "by hand", server: Server = URL, token: Token = None, as_json: AsJson = False
) -> None:
    """End a rollout: the devices that have the version return, at their next poll and mostly for no bytes.

    Example: `diffserver rollouts abort 3 --reason "complaints from the north"`
    """
    _act(rollout, "abort", {"reason": reason}, server, token, as_json)


def described(item: Mapping[str, Any]) -> Group:
    """Return a rollout as people read it."""
    where = f"version {item['from_version']} → {item['to_version']} of {item['model']}, channel {item['channel']}"
    state = ": ".join(filter(None, (item["state"], item["reason"])))
    stages = " ".join(f"[{stage}]" if stage == item["stage"] else stage for stage in item["stages"])
    lines = [f"Rollout {item['id']}: {where}", f"State    {state}", f"Stages   {stages}"]
    only = item["conditions"].get("only") or []
    lines += [f"Only     devices with {', '.join(only)}"] if only else []
    lines.append(f"Devices  {item['running']} run it, {item['tried']} tried it, {item['chosen']} were chosen")
    if item["verdict"]:
        lines.append(f"Gate     {item['verdict']['finding']}: {item['verdict']['reason']}{_interval(item['verdict'])}")
    if only and item["state"] == "running" and item["stage"] == item["stages"][-1]:
        lines.append(f"Next     all other devices of the channel: diffserver rollouts approve {item['id']}")
    if item["state"] == "proposed":
        lines.append(f"Next     another person than {item['created_by']}: diffserver rollouts approve {item['id']}")
    failed = [(row["at"], row["cause"], row["devices"]) for row in item["failures"]]
    tables = [listing("Failed", ["at", "cause", "devices"], failed)] if failed else []
    return Group(*map(line, lines), *tables)


def _interval(verdict: Mapping[str, Any]) -> str:
    low, high = verdict["low"], verdict["high"]
    return "" if low is None or high is None else f" (between {low:+.2f} and {high:+.2f} points)"


def _watch_lines(remote: Any, item: dict[str, Any], every: float) -> None:
    """Print a rollout where its output is redirected: once, and again whenever something changed."""
    told: Any = None
    while True:
        seen = {name: value for name, value in item.items() if name != "verdict"}, (item["verdict"] or {}).get("reason")
        if seen != told:
            told = seen
            console.print(described(item))
        if item["ended"] is not None:
            return
        time.sleep(every)
        item = remote.get(f"/v1/rollouts/{item['id']}")


def _act(rollout: int, act: str, sent: Mapping[str, Any], server: str, token: str | None, as_json: bool) -> None:
    with connected(server, token) as remote:
        item = remote.post(f"/v1/rollouts/{rollout}/{act}", sent)
    show(item, as_json, described(item))
