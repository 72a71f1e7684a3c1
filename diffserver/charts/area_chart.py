"""Areas that stand on one another: how many there are of each kind, and of all, over time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from diffserver.charts import style
from diffserver.charts.scale import Scale, ticks
from diffserver.charts.svg import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Frame, chart, element, grid, text

RIGHT = WIDTH - 12


def areas(about: str, series: Sequence[Mapping[float, float]], y_label: str, ends: tuple[str, str]) -> str:
    """Return a chart of all series as SVG, the first at the bottom; a value that a series lacks at a place is 0.

    `about` is its text for those who cannot see it, `ends` are the names of the first place and the last.
    """
    places = sorted({place for values in series for place in values})
    tops = [0.0] * len(places)
    edges = [tops]
    for values in series:
        tops = [top + values.get(place, 0.0) for top, place in zip(tops, places, strict=True)]
        edges.append(tops)
    rows = ticks([0.0, *tops])
    frame = Frame(Scale(places[0], places[-1], LEFT, RIGHT), Scale(rows[0], rows[-1], HEIGHT - BOTTOM, TOP), rows)
    lines = [[f"{frame.across.at(x)},{frame.up.at(y)}" for x, y in zip(places, edge, strict=True)] for edge in edges]
    drawn = [
        element("polygon", points=" ".join([*upper, *reversed(lower)]), class_=f"f{style.number(index)}")
        for index, (lower, upper) in enumerate(pairwise(lines))
    ]
    y = HEIGHT - BOTTOM + 16
    below = [text(ends[0], LEFT, y), text(ends[1], RIGHT, y, class_="end")]
    return chart(about, [grid(frame, y_label, ""), *below, *drawn])
