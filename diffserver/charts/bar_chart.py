"""Bars of several parts on top of each other, such as the bytes of an update; with one part, a histogram."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffserver.charts import style
from diffserver.charts.scale import LEAST_APART, Scale, apart, ticks
from diffserver.charts.svg import BOTTOM, HEIGHT, LEFT, LETTER, TOP, WIDTH, Frame, chart, element, grid, line, text

SHARE = 0.7
"""How much of its place a bar takes."""


@dataclass(frozen=True)
class Part:
    """A named part of every bar, from left to right."""

    name: str
    values: Sequence[float]


def bars(
    about: str,
    names: Sequence[str],
    parts: Sequence[Part],
    x_label: str,
    y_label: str,
    limits: Sequence[tuple[str, float]] = (),
) -> str:
    """Return a chart as SVG: a bar a name, its parts from the bottom up; `limits` are drawn across."""
    heights = [sum(part.values[index] for part in parts) for index in range(len(names))]
    rows = ticks([0.0, *heights, *(value for _, value in limits)])
    written = [*(part.name for part in parts if len(parts) > 1), *(name for name, _ in limits)]
    right = WIDTH - 12 - LETTER * max(map(len, written), default=0)
    up = Scale(rows[0], rows[-1], HEIGHT - BOTTOM, TOP)
    frame = Frame(Scale(0, max(1, len(names)), LEFT, right), up, rows)
    lines_across = [line(LEFT, up.at(value), right, up.at(value), "limit") for _, value in limits]
    named = _named(frame, parts, limits) if len(parts) > 1 else [(name, up.at(value), "") for name, value in limits]
    free = apart([y for _, y, _ in named], LEAST_APART, TOP, HEIGHT - BOTTOM)
    key = [text(name, right + 6, y + 4, class_=kind) for (name, _, kind), y in zip(named, free, strict=True)]
    return chart(
        about, [grid(frame, y_label, x_label), *_stacked(frame, parts), *_names(frame, names), *lines_across, *key]
    )


def _named(frame: Frame, parts: Sequence[Part], limits: Sequence[tuple[str, float]]) -> list[tuple[str, float, str]]:
    """Return name, place and colour of what stands beside the last bar: its parts, and the limits."""
    named, reached = [], 0.0
    for number, part in enumerate(parts):
        last = part.values[-1] if part.values else 0.0
        named.append((part.name, frame.up.at(reached + last / 2), f"f{style.number(number)}"))
        reached += last
    return named + [(name, frame.up.at(value), "") for name, value in limits]


def _stacked(frame: Frame, parts: Sequence[Part]) -> list[str]:
    drawn, reached = [], [0.0] * max((len(part.values) for part in parts), default=0)
    for number, part in enumerate(parts):
        for index, value in enumerate(part.values):
            bottom, top = frame.up.at(reached[index]), frame.up.at(reached[index] + value)
            x, width = _place(frame, index)
            kind = f"f{style.number(number)}"
            height = round(bottom - top, 1)
            drawn.append(element("rect", x=x, y=top, width=width, height=height, class_=kind))
            reached[index] += value
    return drawn


def _place(frame: Frame, index: int) -> tuple[float, float]:
    begin, width = frame.across.at(index), frame.across.at(index + 1) - frame.across.at(index)
    return round(begin + width * (1 - SHARE) / 2, 1), round(width * SHARE, 1)


def _names(frame: Frame, names: Sequence[str]) -> list[str]:
    room = (frame.across.end - frame.across.begin) / max(1, len(names))
    every = -(-max(map(len, names), default=1) * LETTER // room)  # where there is no room for all names
    return [
        text(name, frame.across.at(index + 0.5), HEIGHT - BOTTOM + 16, class_="middle")
        for index, name in enumerate(names)
        if index % max(1, every) == 0
    ]
