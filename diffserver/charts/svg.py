"""SVG as text: elements, every text and attribute escaped, and the frame that all charts have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from diffserver.charts.scale import Scale, label

WIDTH, HEIGHT = 400, 260
LEFT, TOP, BOTTOM = 46, 26, 40
LETTER = 6.2
"""The mean width of a letter of the labels, in the chart's own units."""


@dataclass(frozen=True)
class Frame:
    """Where a chart's values are on it: the two scales, and the ticks across."""

    across: Scale
    up: Scale
    rows: Sequence[float]
    """The ticks of the scale that goes up."""


def element(name: str, content: str = "", **attributes: object) -> str:
    """Return an element; `content` is SVG already, and `class_` is the attribute class."""
    written = "".join(f' {key.strip("_").replace("_", "-")}="{escape(str(v))}"' for key, v in attributes.items())
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(content: str, x: float, y: float, **attributes: object) -> str:
    """Return a text at a place."""
    return element("text", escape(content), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def chart(name: str, parts: Iterable[str]) -> str:
    """Return a whole chart; `name` tells those who cannot see it what it shows."""
    inside = [element("title", escape(name)), *parts]
    return picture(name, inside, WIDTH, HEIGHT, xmlns="http://www.w3.org/2000/svg", class_="chart")


def picture(name: str, parts: Iterable[str], width: float, height: float, **attributes: object) -> str:
    """Return an SVG of that size; `name` is read out to those who cannot see it."""
    inside = "".join(parts)
    return element("svg", inside, viewBox=f"0 0 {width} {height}", role="img", aria_label=name, **attributes)


def grid(frame: Frame, y_label: str, x_label: str) -> str:
    """Return the lines behind the values with their figures, and what both directions are."""
    left, right, step = frame.across.begin, frame.across.end, frame.rows[1] - frame.rows[0]
    parts = [text(y_label, 4, 14), text(x_label, (left + right) / 2, HEIGHT - 6, class_="middle")]
    for tick in frame.rows:
        y = frame.up.at(tick)
        kind = "zero" if tick == 0 else "grid"
        parts += [line(left, y, right, y, kind), text(label(tick, step), left - 5, y + 4, class_="end")]
    return "".join(parts)
