"""Show results as tables in a terminal.

The figures are left to `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from diffserver.charts.folding_table import FoldingTable
from diffserver.experiment.results import Results, Row, average, by_chain, spread

CAPTION = "Error rates in %, means over all test sets so far; drift in points over the full chain; training seconds"
INTERVAL = "Of one seed, drift's 95 % interval by a paired bootstrap; of several, the means and the drifts' range"
LAST = "All at the last update"


def _figure(name: str, form: str) -> Callable[[Sequence[Row]], str]:
    def cell(rows: Sequence[Row]) -> str:
        value = average(rows, name)
        return "–" if value is None else format(value, form)

    return cell


def _interval(rows: Sequence[Row]) -> str:
    return " ".join(f"{end:+.2f}" for end in spread(rows))


COLUMNS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "update": lambda rows: str(rows[0].update),
    "seeds": lambda rows: str(len(rows)),
    "share": _figure("payload_share", ".2%"),
    "density": _figure("density", ".1%"),
    "overlap": _figure("overlap", ".2f"),
    "rate": _figure("wer_mean", ".2f"),
    "full": _figure("wer_full_mean", ".2f"),
    "drift": _figure("drift_mean", "+.2f"),
    "interval": _interval,
    "recovered": _figure("recovered", ".1%"),
    "train s": _figure("seconds_train", ".0f"),
    "full s": _figure("seconds_train_full", ".0f"),
}
SUMMARY = ("share", "rate", "full", "drift", "interval", "recovered", "train s", "full s")


Chains = Mapping[tuple[str, str, float], Mapping[int, Sequence[Row]]]
"""The rows of all seeds by data, method and budget, and then by update."""


def tables(results: Results) -> Group:
    """Return the results as tables of at most 120 columns: one a method and budget, and one of their last updates."""
    chains = by_chain(results.runs)
    single = [_chain(f"{method}, budget {budget:.1%}", updates) for (_, method, budget), updates in chains.items()]
    return Group(Text(f"{CAPTION}.\n{INTERVAL}.\n"), *single, _summary(chains))


def _chain(title: str, updates: Mapping[int, Sequence[Row]]) -> Table:
    table = _empty(title)
    for heading in COLUMNS:
        # As wide in all tables, whatever stands in them.
        table.add_column(heading, justify="right", min_width=13 if heading == "interval" else 7)
    for _, rows in sorted(updates.items()):
        table.add_row(*(cell(rows) for cell in COLUMNS.values()))
    return table


def _summary(chains: Chains) -> Table:
    table = _empty(LAST)
    table.add_column("method", max_width=40, overflow="fold")
    for heading in ("budget", *SUMMARY):
        table.add_column(heading, justify="right", no_wrap=True)
    for (_, method, budget), updates in chains.items():
        table.add_row(method, f"{budget:.1%}", *(COLUMNS[name](updates[max(updates)]) for name in SUMMARY))
    return table


def _empty(title: str) -> Table:
    return FoldingTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
