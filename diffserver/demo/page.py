"""The report as one page of HTML that needs nothing beside it: the verdict, the pictures, then the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffserver.charts import style
from diffserver.charts.bar_chart import Part, bars
from diffserver.charts.line_chart import Line, Point, lines
from diffserver.demo import verdict
from diffserver.demo.report import Report, Row

MARGINS = (
    "Bars are 95 % intervals of the mean over the test sets, binomial (Agresti and Coull): as if each word were an "
    "error or not by itself. There is one seed; they say nothing of how far another one would differ."
)


def page(report: Report, title: str, captions: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; `captions` has the columns of each table, a heading and what makes a cell of a row."""
    from jinja2 import Environment

    known = report.updates and report.updates[0].margin_published is not None
    rendered: str = (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            title=title,
            style=style.CSS,
            headline=verdict.headline(report),
            remarks=verdict.remarks(report),
            pictures=_pictures(report),
            margins=MARGINS if known else "",
            captions=captions,
            updates=report.updates,
        )
    )
    return rendered


def _pictures(report: Report) -> list[tuple[str, str]]:
    """Return the charts, each with what stands below it."""
    rows = report.updates
    return [
        (_accuracy(report, rows), "Mean WER over all test sets so far, before and after each update."),
        (_near(report, rows), "The same, nearer: what was published beside the model that was fully retrained."),
        (_drift(rows), "Drift: the published version's mean WER minus the fully retrained model's."),
        (_fetched(report, rows), "What a device fetches for each update, and the budget for the payload."),
    ]


def _line(name: str, rows: Sequence[Row], value: str, margin: str | None = None) -> Line:
    def point(row: Row) -> Point:
        middle, give = getattr(row, value), getattr(row, margin) if margin else None
        return Point(row.version, middle, *((None, None) if give is None else (middle - give, middle + give)))

    return Line(name, [point(row) for row in rows])


def _accuracy(report: Report, rows: Sequence[Row]) -> str:
    series = [
        _line(report.method, rows, "wer_published"),
        _line("fully retrained", rows, "wer_full"),
        _line("before", rows, "wer_parent"),
    ]
    return lines(_told("Mean WER in percent", series), series, "version", "mean WER, %")


def _near(report: Report, rows: Sequence[Row]) -> str:
    series = [
        _line(report.method, rows, "wer_published", "margin_published"),
        _line("fully retrained", rows, "wer_full", "margin_full"),
    ]
    return lines(_told("Mean WER in percent, without that before the update", series), series, "version", "mean WER, %")


def _drift(rows: Sequence[Row]) -> str:
    series = [_line("drift", rows, "drift", "margin_drift")]
    about = _told("Drift in points", series)
    return lines(about, series, "version", "drift, points", limits=[(f"{verdict.WITHIN:g} worse", verdict.WITHIN)])


def _fetched(report: Report, rows: Sequence[Row]) -> str:
    parts = [
        Part("payload", [row.payload_bytes / 1024 for row in rows]),
        Part("probe set", [row.probe_bytes / 1024 for row in rows]),
        Part("metadata", [row.metadata_bytes / 1024 for row in rows]),
    ]
    budget = report.budget * report.model_bytes_fp32 / 1024
    figures = "; ".join(f"version {row.version}: {row.fetched_bytes:,}" for row in rows)
    about = f"Bytes that a device fetches. {figures}. The budget for the payload is {budget:.0f} KiB."
    return bars(about, [str(row.version) for row in rows], parts, "version", "to fetch, KiB", [("budget", budget)])


def _told(about: str, series: Sequence[Line]) -> str:
    """Return a chart's figures as a text, for those who cannot see it."""
    figures = (f"{one.name}: {', '.join(f'{point.y:.2f}' for point in one.points)}" for one in series)
    return f"{about}, by version. {'; '.join(figures)}."


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ headline }}</title>
<style>
 :root { --ground: #fff; --text: #1b1f24; --soft: #59636e; --stripe: #f2f4f7; --rule: #c9d0d8; }
 @media (prefers-color-scheme: dark) {
  :root { --ground: #16191d; --text: #e8eaed; --soft: #a6b0bb; --stripe: #20252b; --rule: #454d57; }
 }
 body { font: 1rem/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem;
        background: var(--ground); color: var(--text); overflow-wrap: anywhere; }
 h1 { font-size: clamp(1.3rem, 4vw, 2rem); line-height: 1.25; margin: .5rem 0; }
 h2 { font-size: 1.1rem; margin-top: 2rem; }
 .soft, figcaption, caption { color: var(--soft); }
 .pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
 figure { margin: 0; } figcaption { font-size: .9rem; }
 .scrolls { overflow-x: auto; margin: 1.5rem 0; } .scrolls:focus-visible { outline: 2px solid currentColor; }
 table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
 caption { text-align: left; padding-bottom: .4rem; max-width: min(44rem, 90vw); }
 td, th { padding: .3rem .6rem; text-align: right; white-space: nowrap; }
 thead th { border-bottom: 2px solid var(--rule); } tbody tr:nth-child(odd) { background: var(--stripe); }
{{ style|safe }}</style>
</head>
<body>
<main>
<p class="soft">{{ title }}</p>
<h1>{{ headline }}</h1>
<ul>{% for remark in remarks %}
<li>{{ remark }}</li>{% endfor %}
</ul>
<section class="pictures" aria-label="Pictures">{% for picture, below in pictures %}
<figure>{{ picture|safe }}<figcaption>{{ below }}</figcaption></figure>{% endfor %}
</section>
{% if margins %}<p class="soft">{{ margins }}</p>
{% endif %}<h2>Figures</h2>
{% for caption, columns in captions.items() %}
<div class="scrolls" role="region" tabindex="0" aria-label="{{ caption }}">
<table>
<caption>{{ caption }}</caption>
<thead><tr>{% for heading in columns %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>{% for update in updates %}
<tr>{% for cell in columns.values() %}{% if loop.first %}<th scope="row">{{ cell(update) }}</th>{% else %}\
<td>{{ cell(update) }}</td>{% endif %}{% endfor %}</tr>{% endfor %}
</tbody></table>
</div>
{% endfor %}</main>
</body>
</html>
"""
