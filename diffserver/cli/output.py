"""The commands' output: JSON for scripts, tables and one-line errors for people."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from diffserver.errors import DiffServerError
from diffserver.evaluation import error_rate, from_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

NO_METRIC = "error rate"
"""What a heading says before any version says what it is measured in."""

console = Console()
progress_console = Console(stderr=True)


def print_error(error: Exception) -> None:
    """Print an error to standard error: the cause, the remedy, and a refused candidate's evaluation."""
    detail, remedy = getattr(error, "detail", str(error)), getattr(error, "remedy", "")
    sys.stderr.write(f"error: {detail}\n")
    members = error.members() if isinstance(error, DiffServerError) else {}
    for refusal in members.get("refusals", []):
        sys.stderr.write(f"  - {refusal}\n")
    if members.get("evaluation"):
        Console(stderr=True).print(evaluation_table(members["evaluation"], members["metric"]))
    if remedy:
        sys.stderr.write(f"  {remedy}\n")


def show(value: Any, as_json: bool, text: Any) -> None:
    """Print `value` as JSON, or else `text`, a string or a rich renderable."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
    else:
        console.print(text, highlight=False)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float, str], bool]]:
    """Show a bar while the block runs, and give what moves it: to a share that is done, with a message."""
    with Progress(console=progress_console) as progress:
        bar = progress.add_task(what, total=1.0)

        def move(done: float, message: str) -> bool:
            progress.update(bar, completed=done, description=message)
            return True

        yield move
        move(1.0, what)  # which may have been done already


def listing(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; None is shown as a dash."""
    shown = Table(title=title, title_justify="left")
    for heading in headings:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*("–" if cell is None else str(cell) for cell in row))
    return shown


def evaluation_table(evaluation: Mapping[str, Any], metric: Mapping[str, str]) -> Table:
    """Return a table of the error rate by test set before and after the update, in its metric's words."""
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
    """Return a table of the trials, the fully retrained model among them."""
    headings = ["method", "budget", "share", "density", "levels", "steps", f"mean {metric['name']}", "drift", "chosen"]
    return listing("What was tried", headings, map(_tried_row, tried))


def _tried_row(trial: Mapping[str, Any]) -> list[object]:
    return [
        trial["method"],
        _formatted(trial["budget"], "{:.2%}"),
        trial["payload_bytes"] and f"{trial['payload_share']:.2%}",
        _formatted(trial["density"], "{:.2%}"),
        trial["levels"],
        trial["steps"] and "–".join(dict.fromkeys(f"{step:.2g}" for step in trial["steps"])),
        f"{trial['mean_error_rate']:.2f} %",
        _formatted(trial["drift"], "{:+.2f}"),
        "yes" if trial["chosen"] else "no" if trial["trained"] else "known before",
    ]


def _formatted(value: float | None, template: str) -> str | None:
    return None if value is None else template.format(value)
