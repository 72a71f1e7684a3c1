"""Pictures of a model's figures as SVG, without script or style: lines over versions or steps, and spreads of devices.

They are as wide as a phone, so that their letters can be read there; the figures stand in a table beside each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 190, 40, 92, 12, 30
APART, LETTERS = 13, 14
"""Pixels between two names at lines' ends, and the most letters of a name."""
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
    frame = _Frame(places[0], places[-1], min(0.0, *values), max(0.0, *values) or 1.0)
    parts = [frame.across(tick) for tick in sorted({frame.least, 0.0, frame.most})]
    parts += [_line(frame, index, line) for index, line in enumerate(drawn.values())]
    parts += _names(frame, drawn)
    for place, anchor in ((places[0], "start"), (places[-1], "end")):
        parts.append(_text(frame.x(place), HEIGHT - BOTTOM + 14, f"{place:,}", anchor))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, below, "middle"))
    return _svg(about, HEIGHT, parts)


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
    frame = _Frame(least - room, most + room, 0, 1, right=WIDTH - 12)
    at = frame.x(value)
    parts = [_box(frame, 26 + ROW * index, name, values) for index, (name, values) in enumerate(rows)]
    parts.append(Markup('<line class="server" x1="{0}" x2="{0}" y1="18" y2="{1}"/>').format(at, height - BOTTOM + 4))
    side = "end" if at > WIDTH / 2 else "start"
    parts.append(_text(at, 13, beside, side, "of-server"))
    for end, anchor in ((least, "start"), (most, "end")):
        parts.append(_text(frame.x(end), height - 6, f"{end:.2f} {unit}", anchor))
    return _svg(about, height, parts)


class _Frame:
    """From values to places on the picture."""

    def __init__(self, first: float, last: float, least: float, most: float, right: float = WIDTH - RIGHT) -> None:
        self.first, self.last, self.least, self.most, self.right = first, last, least, most, right

    def x(self, value: float) -> float:
        return round(LEFT + (self.right - LEFT) * (value - self.first) / max(self.last - self.first, 1e-9), 1)

    def y(self, value: float) -> float:
        share = (value - self.least) / max(self.most - self.least, 1e-9)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    def across(self, value: float) -> Markup:
        y = self.y(value)
        line = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, self.right, y, y)
        return line + _text(LEFT - 5, y + 4, f"{value:.3g}", "end")


def _line(frame: _Frame, index: int, values: Mapping[int, float]) -> Markup:
    points = [(frame.x(place), frame.y(value)) for place, value in sorted(values.items())]
    path = " ".join(f"{x},{y}" for x, y in points)
    drawn = Markup('<polyline class="l{}" points="{}"/>').format(index, path)
    if len(points) > 40:
        return drawn
    dots = (Markup('<circle class="d{}" cx="{}" cy="{}" r="2.5"/>').format(index, x, y) for x, y in points)
    return drawn + Markup("").join(dots)


def _names(frame: _Frame, drawn: Lines) -> list[Markup]:
    """Return each line's name at its end, from the top down, apart from each other."""
    ends = sorted((frame.y(line[max(line)]), index, name) for index, (name, line) in enumerate(drawn.items()) if line)
    named, free = [], 0.0
    for y, index, name in ends:
        free = max(y, free)
        cut = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        named.append(_text(frame.right + 6, free + 4, cut, "start", f"n{index}"))
        free += APART
    return named


def _box(frame: _Frame, top: float, name: str, values: Mapping[str, float]) -> Markup:
    low, begin, middle, end, high = (frame.x(values[rank]) for rank in ("5", "25", "50", "75", "95"))
    y = top + 22
    whisker = Markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(low, high, y, y)
    box = Markup('<rect class="box" x="{}" y="{}" width="{}" height="12" rx="2"/>').format(
        begin, y - 6, round(max(end - begin, 1.5), 1)
    )
    mark = Markup('<line class="median" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(middle, middle, y - 8, y + 8)
    return _text(2, top + 10, name, "start") + whisker + box + mark


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, x, round(y, 1), anchor, text
    )


def _svg(about: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, about, Markup("").join(parts)
    )
