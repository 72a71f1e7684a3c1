"""Pictures of a fleet and of a rollout's gate; nothing of too little. Their figures stand beside them as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from diffserver.charts import style
from diffserver.charts.area_chart import areas
from diffserver.charts.line_chart import Line, Point, lines

MOMENTS = 120
"""The most moments that a picture has."""


def devices_over_time(tallies: Sequence[Mapping[str, Any]]) -> Markup:
    """Return devices by version over time, stacked; nothing unless there are two moments."""
    moments = _thinned(sorted({row["at"] for row in tallies}))
    if len(moments) < 2:
        return Markup("")
    shown = set(moments)
    counted: dict[int | None, dict[float, float]] = {version: {} for version in _versions(tallies)}
    for row in tallies:
        if row["at"] in shown:
            counted[row["version"]][_seconds(row["at"])] = row["devices"]
    ends = (_day(moments[0]), _day(moments[-1]))
    about = f"Devices by version from {ends[0]} to {ends[1]}"
    return Markup(areas(about, list(counted.values()), "devices", ends))  # all of it is escaped


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
    ends = [[min(max(look[end], -reach), reach) for end in ("low", "high")] for look in known]
    places = [_seconds(look["at"]) for look in known]
    above = [Point(x, high, low, high) for x, (low, high) in zip(places, ends, strict=True)]
    below = [Point(x, low) for x, (low, _) in zip(places, ends, strict=True)]
    about = f"The worsening lies between {last['low']:.2f} and {last['high']:.2f} points; the margin is {margin:g}"
    series = [Line("at most", above, colour=0), Line("at least", below, colour=0)]
    names = [(places[0], _day(known[0]["at"])), (places[-1], _day(last["at"]))]
    return Markup(lines(about, series, "", "points", [(f"margin {margin:g}", margin)], names, band=True))


def _versions(tallies: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return the versions that are counted, that of devices without one first."""
    return sorted({row["version"] for row in tallies}, key=lambda number: -1 if number is None else number)


def _thinned(moments: Sequence[str]) -> list[str]:
    """Return evenly chosen ones, with the last."""
    step = -(-len(moments) // MOMENTS)
    return list(reversed(moments[::-1][:: max(1, step)]))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _day(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%d %b %H:%M}"
