"""Lines with their names at their ends, and bars or bands for what is uncertain."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffserver.charts import style
from diffserver.charts.scale import LEAST_APART, Scale, apart, label, ticks
from diffserver.charts.svg import BOTTOM, HEIGHT, LEFT, LETTER, TOP, WIDTH, Frame, chart, element, grid, line, text


@dataclass(frozen=True)
class Point:
    """A value at a place, and the ends of its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None

    def ends(self) -> tuple[float, float]:
        """Return the ends of the interval; without one, the value itself."""
        return (self.y if self.low is None else self.low, self.y if self.high is None else self.high)


@dataclass(frozen=True)
class Line:
    """A named series of points, from left to right, with a colour's number if it is not that of its place."""

    name: str
    points: Sequence[Point]
    colour: int | None = None

    def number(self, index: int) -> int:
        """Return the colour's number at an index of all series."""
        return style.number(index if self.colour is None else self.colour)


MOST_DOTS = 40
"""A line of more points is drawn without a dot at each."""


def lines(
    about: str,
    series: Sequence[Line],
    x_label: str,
    y_label: str,
    limits: Sequence[tuple[str, float]] = (),
    x_names: Sequence[tuple[float, str]] | None = None,
    band: bool = False,
) -> str:
    """Return a chart of all series as SVG.

    `about` is its text for those who cannot see it, `limits` are values that are drawn across; `x_names` are the ticks
    from left to right, which are whole numbers otherwise; a `band` shows intervals as an area, not as a bar each.
    """
    series = [one for one in series if one.points]
    names = [*(one.name for one in series), *(name for name, _ in limits)]
    right = WIDTH - 12 - LETTER * max(map(len, names), default=0)
    points = [point for one in series for point in one.points]
    rows = ticks([0.0, *(value for _, value in limits), *(end for point in points for end in point.ends())])
    places = [point.x for point in points] or [0.0]
    edge = 0.5 if min(places) == max(places) else 0.04 * (max(places) - min(places))
    across = Scale(min(places) - edge, max(places) + edge, LEFT, right)
    up = Scale(rows[0], rows[-1], HEIGHT - BOTTOM, TOP)
    frame = Frame(across, up, rows)
    drawn = [_drawn(frame, index, one, band) for index, one in enumerate(series)]
    across_all = [line(LEFT, up.at(value), right, up.at(value), "limit") for _, value in limits]
    ends = [up.at(one.points[-1].y) for one in series] + [up.at(value) for _, value in limits]
    classes = [f"f{one.number(index)}" for index, one in enumerate(series)] + [""] * len(limits)
    labelled = [
        text(name, right + 6, y + 4, class_=kind)
        for name, kind, y in zip(names, classes, apart(ends, LEAST_APART, TOP, HEIGHT - BOTTOM), strict=True)
    ]
    figures = x_names if x_names is not None else _whole(places)
    below = [text(name, across.at(x), HEIGHT - BOTTOM + 16, class_="middle") for x, name in figures]
    return chart(about, [grid(frame, y_label, x_label), *below, *across_all, *drawn, *labelled])


def _drawn(frame: Frame, index: int, one: Line, band: bool) -> str:
    colour, across, up = one.number(index), frame.across, frame.up
    path = " ".join(f"{across.at(point.x)},{up.at(point.y)}" for point in one.points)
    parts = [element("polyline", points=path, class_=f"line s{colour}")]
    known = [point for point in one.points if point.low is not None or point.high is not None]
    if band and len(known) > 1:
        edge = [(point.x, point.ends()[0]) for point in known] + [(p.x, p.ends()[1]) for p in reversed(known)]
        area = " ".join(f"{across.at(x)},{up.at(y)}" for x, y in edge)
        parts.insert(0, element("polygon", points=area, class_=f"band f{colour}"))
    else:
        parts += [_bar(frame, point, f"s{colour}") for point in known]
    if len(one.points) <= MOST_DOTS:
        parts += [element("circle", cx=across.at(p.x), cy=up.at(p.y), r=3, class_=f"f{colour}") for p in one.points]
    return "".join(parts)


def _bar(frame: Frame, point: Point, kind: str) -> str:
    x, (low, high) = frame.across.at(point.x), map(frame.up.at, point.ends())
    caps = [line(x - 3, y, x + 3, y, kind) for y in (low, high)]
    return line(x, low, x, high, kind) + "".join(caps)


def _whole(places: Sequence[float]) -> list[tuple[float, str]]:
    found = [tick for tick in ticks(places, 6) if min(places) <= tick <= max(places) and float(tick).is_integer()]
    return [(tick, label(tick, 1)) for tick in found]
