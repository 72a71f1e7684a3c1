"""Spreads beside a value: from the 5th to the 95th percentile a line, the middle half a box, the median a mark."""

from collections.abc import Mapping, Sequence

from diffserver.charts.scale import Scale
from diffserver.charts.svg import LEFT, WIDTH, element, line, picture, text

ROW, TOP, BOTTOM, RIGHT = 34, 26, 30, WIDTH - 12
"""The height of a row, what is above and below all of them, and where they end."""

Spread = tuple[str, Mapping[str, float]]
"""A name, and percentiles by their rank."""


def spreads(about: str, rows: Sequence[Spread], beside: str, value: float, unit: str) -> str:
    """Return a chart of all rows as SVG, with a value across them that is named `beside`; there is one row at least.

    `about` is its text for those who cannot see it.
    """
    known = [percentile for _, row in rows for percentile in row.values()]
    least, most = min(*known, value), max(*known, value)
    room = (most - least) * 0.06 or 0.5
    height = TOP + ROW * len(rows) + BOTTOM
    across = Scale(least - room, most + room, LEFT, RIGHT)
    at = across.at(value)
    parts = [_row(across, TOP + ROW * index, name, values) for index, (name, values) in enumerate(rows)]
    parts.append(line(at, 18, at, height - BOTTOM + 4, "limit"))
    parts.append(text(beside, at, 13, text_anchor="end" if at > WIDTH / 2 else "start"))
    for end, anchor in ((least, "start"), (most, "end")):
        parts.append(text(f"{end:.2f} {unit}", across.at(end), height - 6, text_anchor=anchor))
    return picture(about, parts, WIDTH, height, xmlns="http://www.w3.org/2000/svg", class_="chart")


def _row(across: Scale, top: float, name: str, values: Mapping[str, float]) -> str:
    low, begin, middle, end, high = (across.at(values[rank]) for rank in ("5", "25", "50", "75", "95"))
    y, width = top + 22, round(max(end - begin, 1.5), 1)
    box = element("rect", class_="band f0", x=begin, y=y - 6, width=width, height=12, rx=2)
    whisker, median = line(low, y, high, y, "line s0"), line(middle, y - 8, middle, y + 8, "median")
    return text(name, 2, top + 10) + whisker + box + median
