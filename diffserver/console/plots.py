"""Pictures of a model's figures: lines over versions or steps, and spreads of devices; nothing of too little.

They stand beside tables with their figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from diffserver.charts import line_chart, spread_chart
from diffserver.charts.line_chart import Line, Point
from diffserver.charts.spread_chart import Spread

LONGEST = 14
"""The most letters of a name at a line's end."""

Lines = Mapping[str, Mapping[int, float]]
"""By a line's name: its values by their place."""


def lines(about: str, drawn: Lines, below: str) -> Markup:
    """Return lines with their names at their ends; nothing unless there are two places."""
    if len({place for values in drawn.values() for place in values}) < 2:
        return Markup("")
    series = [Line(_cut(name), [Point(x, y) for x, y in sorted(values.items())]) for name, values in drawn.items()]
    return Markup(line_chart.lines(about, series, below, ""))  # all of it is escaped


def spreads(about: str, rows: Sequence[Spread], beside: str, value: float, unit: str) -> Markup:
    """Return the percentiles of each row, and a value across all; nothing of no row."""
    return Markup(spread_chart.spreads(about, rows, beside, value, unit)) if rows else Markup("")


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
