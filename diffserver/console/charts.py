"""Pictures as SVG, drawn on the server: without scripts, in the page's colours, with their figures as text beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from diffserver.charts import style
from diffserver.charts.scale import Scale
from diffserver.charts.svg import element, line, picture, text

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 440, 190, 56, 12, 26, 10
MOMENTS = 120
"""The most moments that a picture has."""


def devices_over_time(tallies: Sequence[Mapping[str, Any]]) -> Markup:
    """Return devices by version over time, stacked; nothing unless there are two moments."""
    moments = _thinned(sorted({row["at"] for row in tallies}))
    if len(moments) < 2:
        return Markup("")
    versions = _versions(tallies)
    counts = {(row["at"], row["version"]): row["devices"] for row in tallies}
    most = max(sum(counts.get((at, version), 0) for version in versions) for at in moments)
    across, up = _times(moments), Scale(0, most or 1, HEIGHT - BOTTOM, TOP)
    below, areas = dict.fromkeys(moments, 0), []
    for place, version in enumerate(versions):
        above = {at: below[at] + counts.get((at, version), 0) for at in moments}
        edge = [*_edge(across, up, above.items()), *reversed(_edge(across, up, below.items()))]
        areas.append(element("polygon", class_=f"s{style.number(place)}", points=" ".join(edge)))
        below = above
    label = f"Devices by version from {_day(moments[0])} to {_day(moments[-1])}"
    return _chart(label, [*areas, _mark(up, most, f"{most:,}"), _mark(up, 0, "0"), _days(moments)])


def legend(tallies: Sequence[Mapping[str, Any]]) -> Sequence[tuple[int, int | None, int]]:
    """Return each version's colour, its number, and how many devices ran it at last."""
    last = max((row["at"] for row in tallies), default=None)
    at_last = {row["version"]: row["devices"] for row in tallies if row["at"] == last}
    return [(style.number(place), number, at_last.get(number, 0)) for place, number in enumerate(_versions(tallies))]


def interval(looks: Sequence[Mapping[str, Any]], margin: float) -> Markup:
    """Return the interval of the worsening as it narrows, with the margin; nothing before both ends are known."""
    known = [look for look in looks if look["low"] is not None and look["high"] is not None]
    if len(known) < 2:
        return Markup("")
    last = known[-1]
    # What was hardly known at first is cut, so that the rest can be seen.
    reach = max(4 * margin, 3 * abs(last["low"]), 3 * abs(last["high"]))
    moments = [look["at"] for look in known]
    low, high = ([min(max(look[end], -reach), reach) for look in known] for end in ("low", "high"))
    most = max(*low, *high, margin)
    least = min(*low, *high, 0.0)
    across, up = _times(moments), Scale(least, most, HEIGHT - BOTTOM, TOP)
    above, below = (_edge(across, up, zip(moments, ends, strict=True)) for ends in (high, low))
    parts = [
        element("polygon", class_="band", points=" ".join([*above, *reversed(below)])),
        *(_mark(up, value, f"{value:.2f}") for value in {0.0, most, least if least < -most / 8 else 0.0}),
        _days(moments),
        line(LEFT, up.at(margin), WIDTH - RIGHT, up.at(margin), "limit"),
        text(f"margin {margin:g} points", LEFT + 6, up.at(margin) - 5, class_="limit-label"),
    ]
    label = f"The worsening lies between {last['low']:.2f} and {last['high']:.2f} points; the margin is {margin:g}"
    return _chart(label, parts)


def _versions(tallies: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return the versions that are counted, that of devices without one first."""
    return sorted({row["version"] for row in tallies}, key=lambda number: -1 if number is None else number)


def _thinned(moments: Sequence[str]) -> list[str]:
    """Return evenly chosen ones, with the last."""
    step = -(-len(moments) // MOMENTS)
    return list(reversed(moments[::-1][:: max(1, step)]))


def _times(moments: Sequence[str]) -> Scale:
    return Scale(_seconds(moments[0]), _seconds(moments[-1]), LEFT, WIDTH - RIGHT)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _edge(across: Scale, up: Scale, values: Iterable[tuple[str, float]]) -> list[str]:
    return [f"{across.at(_seconds(moment))},{up.at(value)}" for moment, value in values]


def _mark(up: Scale, value: float, told: str) -> str:
    """Return a line across, with its value."""
    y = up.at(value)
    return line(LEFT, y, WIDTH - RIGHT, y, "axis") + text(told, LEFT - 6, y + 4, text_anchor="end")


def _days(moments: Sequence[str]) -> str:
    first, last = _day(moments[0]), _day(moments[-1])
    return text(first, LEFT, HEIGHT - 6, text_anchor="start") + text(last, WIDTH - RIGHT, HEIGHT - 6, text_anchor="end")


def _day(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%d %b %H:%M}"


def _chart(label: str, parts: Sequence[str]) -> Markup:
    return Markup(picture(label, parts, WIDTH, HEIGHT, class_="chart"))  # all of it is escaped
