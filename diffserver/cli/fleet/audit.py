"""The command for the audit log: what operators did, when, and by which token."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from diffserver.cli.connection import URL, Server, Token, connected
from diffserver.cli.durations import seconds
from diffserver.cli.output import show_lines, show_list


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    model: Annotated[str | None, typer.Option("--model", help="What was done to this model.")] = None,
    act: Annotated[str | None, typer.Option("--act", help="Of one kind, as candidate.publish.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="7d", help="Not before so long ago.")] = None,
    as_lines: Annotated[bool, typer.Option("--json", help="Print JSON, an act a line, as they come.")] = False,
    server: Server = URL,
    token: Token = None,
) -> None:
    """Show who did what, oldest first.

    Examples: `diffserver audit --model commands --since 7d`, `diffserver audit --json > audit.jsonl`
    """
    begin = None if since is None else (datetime.now(UTC) - timedelta(seconds=seconds(since))).isoformat()
    with connected(server, token) as remote:
        items = remote.pages("/v1/audit", model=model, act=act, since=begin)
        if as_lines:
            show_lines(items)
        else:
            show_list(items, False, "Audit log", ["at", "who", "role", "act", "model", "details"], _row)


def _row(entry: Mapping[str, Any]) -> Sequence[object]:
    details = ", ".join(f"{name}={value}" for name, value in entry["details"].items() if value is not None)
    return entry["at"], entry["actor"], entry["role"], entry["act"], entry["model"], details
