"""What pictures by matplotlib share with the charts on pages: colours, plain axes, and names at the ends of lines."""

from collections.abc import Sequence
from typing import Any

from diffserver.charts import style
from diffserver.charts.scale import apart, label, ticks

POINTS = 72
"""To the inch, the unit of a figure's size."""


def colour(index: int) -> str:
    """Return the colour of the series at an index."""
    return style.LIGHT[style.number(index)]


def plain(axes: Any, values: Sequence[float], whole: Sequence[float] = ()) -> None:
    """Give axes a frame of two sides, ticks that enclose all values and 0, and ticks at whole numbers across."""
    rows = ticks([0.0, *values])
    axes.set_ylim(rows[0], rows[-1])
    axes.set_yticks(rows, [label(row, rows[1] - rows[0]) for row in rows])
    if whole:
        shown = [tick for tick in ticks(whole, 6) if min(whole) <= tick <= max(whole) and float(tick).is_integer()]
        axes.set_xticks(shown, [label(tick, 1) for tick in shown])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    if rows[0] < 0:
        axes.axhline(0, color="black", linewidth=0.8)


def name_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]], size: float = 9) -> None:
    """Write the name of each line beside its end: place across, value, name and colour; none covers another."""
    low, high = axes.get_ylim()
    box = axes.get_position()
    height = box.height * axes.figure.get_figheight() * POINTS
    least = 1.25 * size * (high - low) / height
    # `apart` rounds to a tenth, which is meant for pixels.
    units = height / (high - low)
    moved = apart([(value - low) * units for _, value, _, _ in ends], least * units, 0, height)
    for (x, _, name, kind), place in zip(ends, moved, strict=True):
        axes.annotate(
            name,
            (x, low + place / units),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=kind,
            fontsize=size,
            annotation_clip=False,
        )
