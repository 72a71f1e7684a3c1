"""From values to places on a page: round ticks, and what is between them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1, 2, 2.5, 5, 10)
LEAST_APART = 13
"""Pixels between two labels that stand one above the other."""


@dataclass(frozen=True)
class Scale:
    """A straight line from values to pixels; `begin` is the place of the least value."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, held between the ends."""
        share = (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


def ticks(values: Iterable[float], most: int = 5) -> list[float]:
    """Return at most about `most` round numbers that enclose all values; of none, 0 and 1."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in STEPS if unit * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [count * step for count in range(first, last + 1)]


def label(tick: float, step: float) -> str:
    """Return a tick as text with as many decimals as its step needs, and a minus that is one."""
    decimals = next(count for count in range(9) if math.isclose(round(step, count), step, rel_tol=1e-6) or count == 8)
    text = f"{tick:,.{decimals}f}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def apart(places: Iterable[float], least: float, low: float, high: float) -> list[float]:
    """Move places that are too near to each other apart, in their order, inside the ends as far as there is room."""
    known = list(places)
    order = sorted(range(len(known)), key=known.__getitem__)
    moved = [0.0] * len(known)
    free = low
    for index in order:
        moved[index] = max(known[index], free)
        free = moved[index] + least
    free = high
    for index in reversed(order):
        moved[index] = min(moved[index], free)
        free = moved[index] - least
    return [round(place, 1) for place in moved]
