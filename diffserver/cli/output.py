"""The commands' output: JSON for scripts, tables and one-line errors for people.

Nothing else prints: what others wrote (names, reasons, errors) passes through here, is never parsed as markup, and
shows every character as itself or as a question mark.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from diffclient.plain_text import plain, printable
from diffserver.charts.folding_table import FoldingTable
from diffserver.errors import DiffServerError
from diffserver.evaluation import error_rate, from_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

WHOLE = ("id", "SHA-256")
"""Columns whose cells are copied to other commands: they are not wrapped."""

NO_METRIC = "error rate"
"""What a heading says before any version says what it is measured in."""
LINE, WIDTH = 2000, 10_000
"""The most characters of others' text in a line or a cell; the width for a file or a pipe, where no line is wrapped."""
PIECE = 500
"""The rows of a table that are printed at once."""


class _Console(Console):
    """A console to which text is text: no markup, no emoji codes, no control characters but ends of lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make rich's own text of a string: every string that is printed, alone or in a table, passes here."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)


console = _Console()
progress_console = _Console(stderr=True)


def print_error(error: Exception) -> None:
    """Print an error to standard error: the cause, the remedy, and a refused candidate's evaluation."""
    detail, remedy = getattr(error, "detail", str(error)), getattr(error, "remedy", "")
    warn(f"error: {detail}")
    members = error.members() if isinstance(error, DiffServerError) else {}
    for refusal in members.get("refusals", []):
        warn(f"  - {refusal}")
    if members.get("evaluation"):
        progress_console.print(evaluation_table(members["evaluation"], members["metric"]))
    if remedy:
        warn(f"  {remedy}")


def warn(text: str) -> None:
    """Print a line on standard error, however wide the terminal is."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    sys.stderr.write(f"{indent}{line(text)}\n")


def line(text: object) -> str:
    """Return what others wrote as one line that forges no other."""
    return plain(str(text), LINE)


def show(value: Any, as_json: bool, text: Any) -> None:
    """Print `value` as JSON, or else `text`, a string or a rich renderable."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
    else:
        show_wide(text)


def show_lines(values: Iterable[Any]) -> None:
    """Print each value as a line of JSON, as they come."""
    for value in values:
        sys.stdout.write(json.dumps(value) + "\n")


def show_list(
    items: Iterable[Any], as_json: bool, title: str, headings: Sequence[str], row: Callable[[Any], Sequence[object]]
) -> None:
    """Print a list of any length as it comes: as a JSON array, or else in tables of `PIECE` rows."""
    if as_json:
        _show_array(items)
        return
    left = iter(items)
    show_wide(listing(title, headings, map(row, islice(left, PIECE))))
    while piece := list(islice(left, PIECE)):
        show_wide(listing("", headings, map(row, piece)))


def _show_array(items: Iterable[Any]) -> None:
    before = "["
    for item in items:
        sys.stdout.write(f"{before}\n " + json.dumps(item, indent=1).replace("\n", "\n "))
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def show_as_they_come(values: Iterable[Any], as_json: bool, text: Callable[[Any], str]) -> None:
    """Print each value as soon as it is there: a line of JSON, or a line of text."""
    for value in values:
        sys.stdout.write((json.dumps(value) if as_json else line(text(value))) + "\n")
        sys.stdout.flush()


def show_wide(*renderables: Any) -> None:
    """Print text and tables; nothing is wrapped unless it goes to a terminal."""
    (console if console.is_terminal else _Console(width=WIDTH)).print(*renderables)


def moving_bars(*columns: ProgressColumn) -> Progress:
    """Return bars on standard error, for a terminal; the columns show text as it is."""
    return Progress(*columns, console=progress_console)


def listing(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table that fits the terminal; None is shown as a dash."""
    shown = FoldingTable(title=line(title), title_justify="left")
    for heading in headings:
        shown.add_column(line(heading), overflow="fold", no_wrap=heading in WHOLE)
    for row in rows:
        shown.add_row(*("–" if cell is None else line(cell) for cell in row))
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


def share(item: Mapping[str, Any]) -> str:
    """Return a payload's share of the model's fp32 bytes; what has no payload travels whole."""
    return f"{item['payload_share']:.2%}" if item["payload"] else "whole"


def travel_line(shown: Mapping[str, Any]) -> str:
    """Say what a device at the parent fetches for a candidate or a version, and what its probe set can tell."""
    probe_set = shown["probe_set"]
    told = probe_set and (
        f"Of the {probe_set['items']:,} {shown['metric']['counts']} of the probe set it gets {probe_set['known']:,} "
        f"right; a model that errs on a tenth of them more passes with a chance of {probe_set['chance_to_pass']:.2%}."
    )
    return " ".join(filter(None, (_fetched(shown["to_fetch"]), told)))


def _fetched(to_fetch: Mapping[str, int | None] | None) -> str | None:
    if to_fetch is None:
        return None
    names = {"payload": "payload", "graph": "graph", "probes": "probe set", "metadata": "metadata"}
    named = ", ".join(f"{name} {to_fetch[part]:,}" for part, name in names.items() if to_fetch[part])
    later = "" if to_fetch["metadata"] else "; the metadata comes on top, once it is signed"
    return f"A device fetches {to_fetch['total']:,} bytes: {named}{later}."


def tried_table(
    tried: Sequence[Mapping[str, Any]], metric: Mapping[str, str], to_fetch: Mapping[str, Any] | None
) -> Table:
    """Return a table of the trials, the fully retrained model among them, with what a device fetches for the chosen."""
    mean = f"mean {metric['name']}"
    headings = ["method", "budget", "share", "to fetch", "density", "levels", "steps", mean, "drift", "chosen"]
    return listing("What was tried", headings, (_tried_row(trial, to_fetch) for trial in tried))


def _tried_row(trial: Mapping[str, Any], to_fetch: Mapping[str, Any] | None) -> list[object]:
    return [
        trial["method"],
        _formatted(trial["budget"], "{:.2%}"),
        trial["payload_bytes"] and f"{trial['payload_share']:.2%}",
        to_fetch["total"] if trial["chosen"] and to_fetch else None,
        _formatted(trial["density"], "{:.2%}"),
        trial["levels"],
        trial["steps"] and "–".join(dict.fromkeys(f"{step:.2g}" for step in trial["steps"])),
        f"{trial['mean_error_rate']:.2f} %",
        _formatted(trial["drift"], "{:+.2f}"),
        "yes" if trial["chosen"] else "no" if trial["trained"] else "known before",
    ]


def _formatted(value: float | None, template: str) -> str | None:
    return None if value is None else template.format(value)
