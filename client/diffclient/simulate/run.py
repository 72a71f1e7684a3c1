"""A simulated fleet over some days, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from diffclient.measure.error_count import Errors
from diffclient.simulate.fleet import Fleet
from diffclient.simulate.polled import Polled


@dataclass(frozen=True)
class Day:
    """What came of one day."""

    day: int
    ends: dict[str, int]
    """How many polls ended in each way."""
    versions: dict[str, int]
    """How many devices run each version afterwards."""
    counted: Errors
    """Errors in the field that devices counted that day."""
    fetched: int
    """Bytes that real devices fetched, metadata apart."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        ends = ", ".join(f"{count:,} {end}" for end, count in self.ends.items())
        versions = ", ".join(f"{count:,} at {version}" for version, count in self.versions.items())
        field = f"{self.counted.error_rate_ppm / 1e4:.2f} % of {self.counted.total:,} words"
        return f"day {self.day}: {ends}; devices: {versions}; field: {field}; {self.seconds:.1f} s"


def run(fleet: Fleet, days: int, day_seconds: float, tell: Callable[[Day], None]) -> list[Day]:
    """Let a fleet that is enrolled live for some days, which take so many seconds each or more; return them.

    On each day the devices count errors with what they run, and poll. `tell` hears of each day.
    """
    lived = []
    for number in range(days):
        began = time.monotonic()
        counted = fleet.report_field(number)
        lived.append(_day(fleet, number, fleet.poll_all(number), counted, began))
        tell(lived[-1])
        if number < days - 1:
            time.sleep(max(0.0, began + day_seconds - time.monotonic()))
    return lived


def table(fleet: Fleet, days: list[Day]) -> list[str]:
    """Return what came of all days as lines: how polls ended, what devices run, what was fetched."""
    ends = Counter[str]()
    for day in days:
        ends.update(day.ends)
    seconds = sum(day.seconds for day in days)
    versions = days[-1].versions if days else {}
    rows = [
        ("polls", f"{sum(ends.values()):,} in {len(days)} days and {seconds:.1f} s"),
        *((f"  {end}", f"{count:,}") for end, count in ends.most_common()),
        ("devices", f"{len(fleet.devices):,}, {fleet.plan.real:,} of them real"),
        *((f"  at version {version}", f"{count:,}") for version, count in versions.items()),
        ("fetched", f"{sum(day.fetched for day in days):,} bytes by real devices, metadata apart"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name.ljust(width)}  {value}" for name, value in rows]


def _day(fleet: Fleet, number: int, polled: list[Polled], counted: Errors, began: float) -> Day:
    ends = Counter(map(str, polled))
    versions = sorted(fleet.versions().items(), key=lambda item: -1 if item[0] is None else item[0])
    return Day(
        number,
        dict(ends.most_common()),
        {"none" if version is None else str(version): count for version, count in versions},
        counted,
        sum(one.fetched for one in polled),
        round(time.monotonic() - began, 3),
    )
