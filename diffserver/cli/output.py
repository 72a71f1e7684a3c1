"""What commands print: JSON for scripts, tables and one-line errors for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from diffserver.errors import DiffServerError
from diffserver.evaluation import error_rate, from_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

NO_METRIC = "error rate"
"""What a heading says before any version says what it is measured in."""

console = Console()
progress_console = Console(stderr=True)


def complain(error: Exception) -> None:
    """Say on standard error what went wrong, what to do about it, and where a candidate fell short."""
    detail, remedy = getattr(error, "detail", str(error)), getattr(error, "remedy", "")
    sys.stderr.write(f"error: {detail}\n")
    members = error.members() if isinstance(error, DiffServerError) else {}
    for refusal in members.get("refusals", []):
        sys.stderr.write(f"  - {refusal}\n")
    if members.get("evaluation"):
        Console(stderr=True).print(evaluation_table(members["evaluation"], members["metric"]))
    if remedy:
        sys.stderr.write(f"  {remedy}\n")


def show(value: Any, as_json: bool, people: Any) -> None:
    """Print `value` as JSON, or `people`, a string or a rich renderable."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
    else:
        console.print(people, highlight=False)


def listing(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; None shows as a dash."""
    shown = Table(title=title, title_justify="left")
    for heading in headings:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*("–" if cell is None else str(cell) for cell in row))
    return shown


def evaluation_table(evaluation: Mapping[str, Any], metric: Mapping[str, str]) -> Table:
    """Return the error rate by test set before and after, in its metric's words."""
    parent, candidate = (from_json(evaluation, side) for side in ("parent", "candidate"))
    rows = [
        (
            domain,
            errors.total,
            f"{error_rate(parent[domain]):.2f} %" if domain in parent else None,
            f"{error_rate(errors):.2f} %",
            f"{error_rate(errors) - error_rate(parent[domain]):+.2f}" if domain in parent else None,
        )
        for domain, errors in candidate.items()
    ]
    headings = ["test set", metric["counts"], "parent", "candidate", "points"]
    name = metric["name"]
    return listing(f"{name[:1].upper()}{name[1:]} by test set", headings, rows)


def tried_table(tried: Sequence[Mapping[str, Any]], metric: Mapping[str, str]) -> Table:
    """Return what was tried, a row each, the fully retrained model among them."""
    headings = ["method", "budget", "share", "density", "levels", "steps", f"mean {metric['name']}", "drift", "chosen"]
    return listing("What was tried", headings, map(_tried_row, tried))


def _tried_row(one: Mapping[str, Any]) -> list[object]:
    return [
        one["method"],
        _formatted(one["budget"], "{:.2%}"),
        one["payload_bytes"] and f"{one['payload_share']:.2%}",
        _formatted(one["density"], "{:.2%}"),
        one["levels"],
        one["steps"] and "–".join(dict.fromkeys(f"{step:.2g}" for step in one["steps"])),
        f"{one['mean_error_rate']:.2f} %",
        _formatted(one["drift"], "{:+.2f}"),
        "yes" if one["chosen"] else "no" if one["trained"] else "known before",
    ]


def _formatted(value: float | None, how: str) -> str | None:
    return None if value is None else how.format(value)
