"""Render a report as tables for a terminal and a plot, and write its files.

Computing the figures is left to `report`, the page to `page`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.text import Text

from diffserver.charts.folding_table import FoldingTable
from diffserver.charts.plots import colour, name_ends, plain
from diffserver.demo import page, verdict
from diffserver.demo.report import Report, Row

Columns = Mapping[str, Callable[[Row], str]]
"""Heading and cell of each column; WER in percent, drift and regression in points."""

SUMMARY: Columns = {
    "version": lambda r: f"{r.version}{'*' if r.forced else ''}",
    "bytes": lambda r: f"{r.payload_bytes:,}",
    "fetched": lambda r: f"{r.fetched_bytes:,}",
    "parent": lambda r: f"{r.wer_parent:.2f}",
    "full": lambda r: f"{r.wer_full:.2f}",
    "publ.": lambda r: f"{r.wer_published:.2f}",
    "device": lambda r: f"{r.wer_device:.2f}",
    "drift": lambda r: f"{r.drift:+.2f}",
    "regr.": lambda r: f"{r.regression:+.2f}",
    "digests": lambda r: "equal" if r.digest_match else "DIFFER",
}

NEW_DOMAIN: Columns = {
    "version": lambda r: str(r.version),
    "new domain": lambda r: r.domain,
    "parent": lambda r: f"{r.wer_parent_new:.2f}",
    "full": lambda r: f"{r.wer_full_new:.2f}",
    "published": lambda r: f"{r.wer_published_new:.2f}",
    "recovered": lambda r: f"{r.recovered:.1%}",
}

FETCHED: Columns = {
    "version": lambda r: str(r.version),
    "payload": lambda r: f"{r.payload_bytes:,}",
    "share": lambda r: f"{r.payload_share:.2%}",
    "probe set": lambda r: f"{r.probe_bytes:,}",
    "metadata": lambda r: f"{r.metadata_bytes:,}",
    "fetched": lambda r: f"{r.fetched_bytes:,}",
}

COSTS: Columns = {
    "version": lambda r: str(r.version),
    "probe errors": lambda r: f"{r.probe_errors_server}: {' '.join(map(str, r.probe_errors_devices))}",
    "changed": lambda r: f"{r.changed_weights:,}",
    "train s": lambda r: f"{r.seconds_train:.1f}",
    "full s": lambda r: f"{r.seconds_train_full:.1f}",
    "apply s": lambda r: f"{r.seconds_apply:.2f}",
}

CAPTIONS: Mapping[str, Columns] = {
    "WER in %, mean over all test sets so far; bytes: the payload; fetched: with all else; device: on the probe "
    "set; *: published by force": SUMMARY,
    "What a device fetches, in bytes; share: the payload's of the model's": FETCHED,
    "WER in % on the new domain's test set": NEW_DOMAIN,
    "Word errors on the probe set, server: devices; weights changed; seconds": COSTS,
}


def tables(report: Report) -> Group:
    """Return the report as tables for a terminal."""
    verdicts = [Text(verdict.headline(report), style="bold"), *map(Text, verdict.remarks(report))]
    return Group(Text(_title(report)), *verdicts, *(_table(report, *item) for item in CAPTIONS.items()))


def _table(report: Report, caption: str, columns: Columns) -> FoldingTable:
    table = FoldingTable(title=caption, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for heading in columns:
        table.add_column(heading, justify="right")
    for update in report.updates:
        table.add_row(*(cell(update) for cell in columns.values()))
    return table


def plot(report: Report, path: Path) -> None:
    """Draw WER and the bytes to fetch over the versions into `path`; the ending chooses the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5))
    accuracy, size = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    figure.subplots_adjust(left=0.08, right=0.8, top=0.9, bottom=0.08, hspace=0.15)
    _draw_accuracy(report, accuracy)
    _draw_bytes(report, size)
    figure.suptitle(f"{verdict.headline(report)}\n{_title(report)}", fontsize=10)
    figure.savefig(path, dpi=120)


def _draw_accuracy(report: Report, axes: Any) -> None:
    """Draw mean WER by version, with bars where it is known how far it may be off."""
    versions, values, ends = [row.version for row in report.updates], [0.0], []
    for number, (name, figures, margins) in enumerate(_curves(report)):
        kind = colour(number)
        bars = margins if None not in margins else None
        axes.errorbar(versions, figures, bars, color=kind, marker="o", markersize=4, linewidth=1.8, capsize=3)
        values += [figure + (margin or 0) for figure, margin in zip(figures, margins, strict=True)]
        ends.append((versions[-1], figures[-1], name, kind))
    plain(axes, values, versions)
    axes.set_ylabel("mean WER, %")
    name_ends(axes, ends)


def _draw_bytes(report: Report, axes: Any) -> None:
    """Draw what a device fetches by version, part by part from the bottom up."""
    rows, budget = report.updates, report.budget * report.model_bytes_fp32 / 1024
    versions, below, ends = [row.version for row in rows], [0.0] * len(rows), []
    for number, name in enumerate(("payload", "probe", "metadata")):
        heights = [getattr(row, f"{name}_bytes") / 1024 for row in rows]
        bars = axes.bar(versions, heights, bottom=below, color=colour(number), width=0.5)
        if name == "payload":
            axes.bar_label(bars, [f"{row.payload_share:.2%}" for row in rows], label_type="center", color="white")
        shown = "probe set" if name == "probe" else name
        ends.append((versions[-1] + 0.5, below[-1] + heights[-1] / 2, shown, colour(number)))
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.axhline(budget, color="black", linestyle="--", linewidth=1)
    plain(axes, [*below, budget], versions)
    axes.set(xlabel="version", ylabel="to fetch, KiB")
    axes.set_xlim(versions[0] - 0.5, versions[-1] + 0.5)
    name_ends(axes, [*ends, (versions[-1] + 0.5, budget, "budget", "black")])


def _curves(report: Report) -> list[tuple[str, list[float], list[float | None]]]:
    """Return name, figures and margins of each line."""
    rows = report.updates
    return [
        (report.method, [r.wer_published for r in rows], [r.margin_published for r in rows]),
        ("fully retrained", [r.wer_full for r in rows], [r.margin_full for r in rows]),
        ("before the update", [r.wer_parent for r in rows], [r.margin_parent for r in rows]),
        ("on devices (probe set)", [r.wer_device for r in rows], [None] * len(rows)),
    ]


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, `report.png` and `report.html` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.to_json())
    plot(report, folder / "report.png")
    (folder / "report.html").write_text(page.page(report, _title(report), CAPTIONS))


def _title(report: Report) -> str:
    size = report.model_bytes_fp32 / 2**20
    return f"{len(report.updates)} {report.method} updates, budget {report.budget:.1%} of a {size:.2f} MiB model"
