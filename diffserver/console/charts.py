"""Pictures as SVG, drawn on the server: without scripts, in the page's colours, with their figures as text beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 440, 190, 56, 12, 26, 10
MOMENTS = 120
"""The most moments that a picture has."""

COLOURS = 6


def devices_over_time(tallies: Sequence[Mapping[str, Any]]) -> Markup:
    """Return devices by version over time, stacked; nothing unless there are two moments."""
    moments = _thinned(sorted({row["at"] for row in tallies}))
    if len(moments) < 2:
        return Markup("")
    versions = sorted({row["version"] for row in tallies}, key=lambda number: -1 if number is None else number)
    counts = {(row["at"], row["version"]): row["devices"] for row in tallies}
    most = max(sum(counts.get((at, version), 0) for version in versions) for at in moments)
    below, areas = dict.fromkeys(moments, 0), []
    for place, version in enumerate(versions):
        above = {at: below[at] + counts.get((at, version), 0) for at in moments}
        edge = [_point(at, above[at], moments, 0, most) for at in moments]
        back = [_point(at, below[at], moments, 0, most) for at in reversed(moments)]
        areas.append(Markup('<polygon class="s{}" points="{}"/>').format(place % COLOURS, " ".join(edge + back)))
        below = above
    label = f"Devices by version from {_day(moments[0])} to {_day(moments[-1])}"
    marks = _mark(most, f"{most:,}", 0, most) + _mark(0, "0", 0, most) + _days(moments)
    return _svg(label, Markup("").join(areas) + marks)


def legend(tallies: Sequence[Mapping[str, Any]]) -> Sequence[tuple[int, int | None, int]]:
    """Return each version's colour, its number, and how many devices ran it at last."""
    versions = sorted({row["version"] for row in tallies}, key=lambda number: -1 if number is None else number)
    last = max((row["at"] for row in tallies), default=None)
    at_last = {row["version"]: row["devices"] for row in tallies if row["at"] == last}
    return [(place % COLOURS, version, at_last.get(version, 0)) for place, version in enumerate(versions)]


def interval(looks: Sequence[Mapping[str, Any]], margin: float) -> Markup:
    """Return the interval of the worsening as it narrows, with the margin; nothing before both ends are known."""
    known = [look for look in looks if look["low"] is not None and look["high"] is not None]
    if len(known) < 2:
        return Markup("")
    moments, reach = [look["at"] for look in known], 4 * margin
    ends = [min(max(look[end], -reach), reach) for look in known for end in ("low", "high")]
    least, most = min(*ends, 0.0), max(*ends, margin)
    edges = {
        end: [_point(look["at"], min(max(look[end], -reach), reach), moments, least, most) for look in known]
        for end in ("low", "high")
    }
    band = Markup('<polygon class="band" points="{}"/>').format(" ".join(edges["high"] + edges["low"][::-1]))
    height = _y(margin, least, most)
    line = Markup('<line class="limit" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, height, height)
    line += Markup('<text class="limit-label" x="{}" y="{}">margin {} points</text>').format(
        LEFT + 6, height - 5, f"{margin:g}"
    )
    marks = _mark(most, f"{most:.2f}", least, most) + _mark(0, "0", least, most) + _days(moments)
    last = known[-1]
    label = f"The worsening lies between {last['low']:.2f} and {last['high']:.2f} points; the margin is {margin:g}"
    return _svg(label, band + marks + line)


def _svg(label: str, content: Markup) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, content
    )


def _thinned(moments: Sequence[str]) -> list[str]:
    """Return evenly chosen ones, with the last."""
    step = -(-len(moments) // MOMENTS)
    return list(reversed(moments[::-1][:: max(1, step)]))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _point(moment: str, value: float, moments: Sequence[str], least: float, most: float) -> str:
    first, last = _seconds(moments[0]), _seconds(moments[-1])
    x = LEFT + (WIDTH - LEFT - RIGHT) * (_seconds(moment) - first) / max(last - first, 1e-9)
    return f"{x:.1f},{_y(value, least, most)}"


def _y(value: float, least: float, most: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - least) / max(most - least, 1e-9), 1)


def _mark(value: float, text: str, least: float, most: float) -> Markup:
    """Return a line across, with its value."""
    y = _y(value, least, most)
    line = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y)
    return line + Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 6, y + 4, text)


def _days(moments: Sequence[str]) -> Markup:
    texts = ((LEFT, "start", _day(moments[0])), (WIDTH - RIGHT, "end", _day(moments[-1])))
    parts = [
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, HEIGHT - 6, anchor, text)
        for x, anchor, text in texts
    ]
    return Markup("").join(parts)


def _day(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%d %b %H:%M}"
