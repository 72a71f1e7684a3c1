"""Render a report as tables for a terminal, a plot and an HTML page, and write its files.

Computing the figures is left to `report`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from rich import box
from rich.console import Group
from rich.text import Text

from diffserver.charts.folding_table import FoldingTable
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
    return Group(Text(_title(report), style="bold"), *(_table(report, *item) for item in CAPTIONS.items()))


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

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    accuracy, size = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    versions = [r.version for r in report.updates]
    for label, values, style in _curves(report):
        accuracy.plot(versions, values, style, label=label)
    accuracy.set(ylabel="mean WER, %", title=_title(report), ylim=(0, None))
    accuracy.legend()
    accuracy.grid(alpha=0.3)
    for label, colour, below, counts in _parts(report):
        heights = [count / 1024 for count in counts]
        bars = size.bar(versions, heights, bottom=[b / 1024 for b in below], color=colour, width=0.5, label=label)
        if label == "payload":
            shares = [f"{r.payload_share:.2%}" for r in report.updates]
            size.bar_label(bars, shares, label_type="center", color="white")
    size.axhline(report.budget * report.model_bytes_fp32 / 1024, color="tab:red", linestyle="--", label="budget")
    size.set(xlabel="version", ylabel="to fetch, KiB", xticks=versions)
    size.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def _parts(report: Report) -> list[tuple[str, str, list[int], list[int]]]:
    """Return name, colour, the bytes below and the bytes of each part of what is fetched, from the bottom up."""
    payloads, probes = [r.payload_bytes for r in report.updates], [r.probe_bytes for r in report.updates]
    nothing, both = [0] * len(payloads), [sum(pair) for pair in zip(payloads, probes, strict=True)]
    return [
        ("payload", "tab:blue", nothing, payloads),
        ("probe set", "tab:green", payloads, probes),
        ("metadata", "tab:gray", both, [r.metadata_bytes for r in report.updates]),
    ]


def _curves(report: Report) -> list[tuple[str, list[float], str]]:
    rows = report.updates
    return [
        ("parent, before the update", [r.wer_parent for r in rows], "x:"),
        (f"published ({report.method})", [r.wer_published for r in rows], "o-"),
        ("full chain (every weight retrained)", [r.wer_full for r in rows], "s--"),
        ("published, probes on the device", [r.wer_device for r in rows], "d-."),
    ]


def page(report: Report, picture: str) -> str:
    """Return the report as an HTML page that shows the picture of that file name."""
    from jinja2 import Environment

    rendered: str = (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(title=_title(report), captions=CAPTIONS, updates=report.updates, picture=picture)
    )
    return rendered


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, `report.png` and `report.html` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.to_json())
    plot(report, folder / "report.png")
    (folder / "report.html").write_text(page(report, "report.png"))


def _title(report: Report) -> str:
    size = report.model_bytes_fp32 / 2**20
    return f"{len(report.updates)} {report.method} updates, budget {report.budget:.1%} of a {size:.2f} MiB model"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
 table { border-collapse: collapse; font-size: 13px; } td, th { padding: .3rem .6rem; text-align: right; }
 tbody tr:nth-child(odd) { background: #f3f5f8; } thead { border-bottom: 2px solid #456; }
 img { max-width: 100%; } h2 { font-size: 15px; }
</style>
<h1>{{ title }}</h1>
<p>Drift and regression in points of WER. Device figures are as measured by the devices on their probe sets.</p>
{% for caption, columns in captions.items() %}
<h2>{{ caption }}</h2>
<table>
<thead><tr>{% for heading in columns %}<th>{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>{% for update in updates %}
<tr>{% for cell in columns.values() %}<td>{{ cell(update) }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table>
{% endfor %}
<p><img src="{{ picture }}" alt="WER and payload bytes over the versions"></p>
</html>
"""
