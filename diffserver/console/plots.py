"""Pictures of a model's figures as SVG, without script or style: lines over versions or steps, and spreads of devices.

They are as wide as a phone, so that their letters can be read there; the figures stand in a table beside each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from markupsafe import Markup

from diffserver.charts import style
from diffserver.charts.scale import LEAST_APART, Scale, apart
from diffserver.charts.svg import element, line, picture, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 190, 40, 92, 12, 30
LONGEST = 14
"""The most letters of a name at a line's end."""
MOST_DOTS = 40
"""The most points of a line that are drawn as such."""
ROW = 34
"""The height of a row of spreads."""

Lines = Mapping[str, Mapping[int, float]]
"""By a line's name: its values by their place."""


def lines(about: str, drawn: Lines, below: str) -> Markup:
    """Return lines with their names at their ends; nothing unless there are two places."""
    places = sorted({place for line in drawn.values() for place in line})
    if len(places) < 2:
        return Markup("")
    values = [value for line in drawn.values() for value in line.values()]
    least, most = min(0.0, *values), max(0.0, *values) or 1.0
    across, up = Scale(places[0], places[-1], LEFT, WIDTH - RIGHT), Scale(least, most, HEIGHT - BOTTOM, TOP)
    parts = [_tick(across, up, tick) for tick in sorted({least, 0.0, most})]
    parts += [_line(across, up, index, line) for index, line in enumerate(drawn.values())]
    parts += _names(across, up, drawn)
    for place, anchor in ((places[0], "start"), (places[-1], "end")):
        parts.append(text(f"{place:,}", across.at(place), HEIGHT - BOTTOM + 14, text_anchor=anchor))
    parts.append(text(below, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, text_anchor="middle"))
    return _plot(about, HEIGHT, parts)


Spread = tuple[str, Mapping[str, float]]
"""A name, and percentiles by their rank."""


def spreads(about: str, rows: Sequence[Spread], beside: str, value: float, unit: str) -> Markup:
    """Return for each row the 5th to the 95th percentile as a line, the middle half as a box; a value across all."""
    known = [percentile for _, row in rows for percentile in row.values()]
    if not known:
        return Markup("")
    least, most = min(*known, value), max(*known, value)
    room = (most - least) * 0.06 or 0.5
    height = 26 + ROW * len(rows) + BOTTOM
    across = Scale(least - room, most + room, LEFT, WIDTH - 12)
    at = across.at(value)
    parts = [_box(across, 26 + ROW * index, name, values) for index, (name, values) in enumerate(rows)]
    parts.append(line(at, 18, at, height - BOTTOM + 4, "server"))
    side = "end" if at > WIDTH / 2 else "start"
    parts.append(text(beside, at, 13, text_anchor=side, class_="of-server"))
    for end, anchor in ((least, "start"), (most, "end")):
        parts.append(text(f"{end:.2f} {unit}", across.at(end), height - 6, text_anchor=anchor))
    return _plot(about, height, parts)


def _tick(across: Scale, up: Scale, value: float) -> str:
    """Return a line across, with its value."""
    y = up.at(value)
    return line(across.begin, y, across.end, y, "axis") + text(f"{value:.3g}", LEFT - 5, y + 4, text_anchor="end")


def _line(across: Scale, up: Scale, index: int, values: Mapping[int, float]) -> str:
    points = [(across.at(place), up.at(value)) for place, value in sorted(values.items())]
    drawn = element("polyline", class_=f"l{style.number(index)}", points=" ".join(f"{x},{y}" for x, y in points))
    if len(points) > MOST_DOTS:
        return drawn
    return drawn + "".join(element("circle", class_=f"d{style.number(index)}", cx=x, cy=y, r=2.5) for x, y in points)


def _names(across: Scale, up: Scale, drawn: Lines) -> list[str]:
    """Return each line's name at its end, from the top down, apart from each other."""
    ends = [(up.at(line[max(line)]), index, name) for index, (name, line) in enumerate(drawn.items()) if line]
    places = apart((y for y, _, _ in ends), LEAST_APART, 0, inf)
    return [
        text(_cut(name), across.end + 6, y + 4, text_anchor="start", class_=f"n{style.number(index)}")
        for y, (_, index, name) in zip(places, ends, strict=True)
    ]


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _box(across: Scale, top: float, name: str, values: Mapping[str, float]) -> str:
    low, begin, middle, end, high = (across.at(values[rank]) for rank in ("5", "25", "50", "75", "95"))
    y = top + 22
    width = round(max(end - begin, 1.5), 1)
    box = element("rect", class_="box", x=begin, y=y - 6, width=width, height=12, rx=2)
    whisker, median = line(low, y, high, y, "whisker"), line(middle, y - 8, middle, y + 8, "median")
    return text(name, 2, top + 10, text_anchor="start") + whisker + box + median


def _plot(about: str, height: float, parts: Sequence[str]) -> Markup:
    return Markup(picture(about, parts, WIDTH, height, class_="plot"))  # all of it is escaped
