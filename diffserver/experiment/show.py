"""Show results as tables in a terminal and as two plots.

The figures are left to `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from diffserver.charts.folding_table import FoldingTable
from diffserver.experiment.results import Results, Row, average, by_chain

CAPTION = "Error rates in %, means over all test sets so far; drift in points over the full chain; training seconds"
INTERVAL = "Of one seed, drift's 95 % interval by a paired bootstrap; of several, the means and the drifts' range"
LAST = "All at the last update"
LINES = ("-", "--", ":", "-.")


def _figure(name: str, form: str) -> Callable[[Sequence[Row]], str]:
    def cell(rows: Sequence[Row]) -> str:
        value = average(rows, name)
        return "–" if value is None else format(value, form)

    return cell


def _spread(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the interval of one seed's drift; of several seeds, the least and the largest drift."""
    if len(rows) == 1:
        return rows[0].drift_interval
    return min(row.drift_mean for row in rows), max(row.drift_mean for row in rows)


def _interval(rows: Sequence[Row]) -> str:
    return " ".join(f"{end:+.2f}" for end in _spread(rows))


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


def plots(results: Results, stem: Path) -> list[Path]:
    """Draw `<stem>-drift.png` and `<stem>-bytes.png`; return the files written. Without rows there are none."""
    chains = {chain: updates for chain, updates in by_chain(results.runs).items() if chain[1] != "full"}
    if not chains:
        return []
    drift, size = (stem.with_name(f"{stem.name}-{kind}.png") for kind in ("drift", "bytes"))
    _draw(drift, "update", "Drift from the full chain over the updates", lambda axes: _drift(chains, axes))
    _draw(size, "payload, % of the fp32 bytes", "Drift at the last update", lambda axes: _size(chains, axes))
    return [drift, size]


def _draw(path: Path, label: str, title: str, fill: Callable[[Any], None]) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    axes = figure.subplots()
    fill(axes)
    # Baselines may drift a hundred times as far as others.
    axes.set_yscale("symlog", linthresh=2)
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel=label, ylabel="drift, points (logarithmic beyond 2)", title=title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=120)


def _drift(chains: Chains, axes: Any) -> None:
    """Draw a curve for each method and budget, a little apart; bars are intervals, or the seeds' range.

    Colours tell methods, and lines tell budgets.
    """
    methods = list(dict.fromkeys(method for _, method, _ in chains))
    budgets = sorted({budget for _, _, budget in chains}, reverse=True)
    for index, ((data, method, budget), updates) in enumerate(chains.items()):
        numbers = sorted(updates)
        drifts = [average(updates[number], "drift_mean") or 0.0 for number in numbers]
        spread = [_spread(updates[number]) for number in numbers]
        below = [max(0.0, drift - low) for drift, (low, _) in zip(drifts, spread, strict=True)]
        above = [max(0.0, high - drift) for drift, (_, high) in zip(drifts, spread, strict=True)]
        apart = [number + 0.4 * ((index + 0.5) / len(chains) - 0.5) for number in numbers]
        label = f"{method}, {budget:.1%} ({data})"
        style = {"color": f"C{methods.index(method)}", "linestyle": LINES[budgets.index(budget) % len(LINES)]}
        bars = {"marker": "o", "markersize": 4, "capsize": 2, "linewidth": 1}
        axes.errorbar(apart, drifts, [below, above], label=label, **style, **bars)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _size(chains: Chains, axes: Any) -> None:
    """Draw a curve for each method, with a point for each budget."""
    curves: dict[str, list[tuple[float, float]]] = {}
    last = max(max(updates) for updates in chains.values())
    for (data, method, _), updates in chains.items():
        if last in updates:
            share, drift = (average(updates[last], name) or 0.0 for name in ("payload_share", "drift_mean"))
            curves.setdefault(f"{method} ({data})", []).append((100 * share, drift))
    for label, points in curves.items():
        shares, drifts = zip(*sorted(points), strict=True)
        axes.plot(shares, drifts, "o-", label=f"{label}, update {last}")
