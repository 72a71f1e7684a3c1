"""The plan of a rollout: whom it is for, its stages, whom each of them reaches, what must hold before the next. Pure.

A device's place is a hash of the rollout and the device, so each rollout begins with other devices, and a device that
has the version keeps it. Rows are left to `records`, verdicts to `gate`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, time
from itertools import pairwise
from typing import Any, Never, get_args

from diffserver.choices.rollouts import EVIDENCE, LEAST, MARGIN, MOST_FAILURES, STAGES, WAIT_SECONDS, Evidence
from diffserver.errors import Invalid
from diffserver.gate.judge import Terms
from diffserver.storage.functions import leading_bits_of

PLACES = 1 << 32
"""A device's place is a whole number below this."""

EXAMPLE = f"{','.join(STAGES)}; a stage may be a count (20) or an attribute (group=pilots), and the last is 100%"


@dataclass(frozen=True)
class Stage:
    """The devices that have the version: a share of the channel, a number of devices, or those with an attribute."""

    text: str
    share: float | None = None
    count: int | None = None
    attribute: tuple[str, str] | None = None


@dataclass(frozen=True)
class Window:
    """The hours of a day, in UTC, in which devices are given the version; it may go past midnight."""

    begin: time
    end: time

    def is_open(self, moment: datetime) -> bool:
        """Tell whether a moment (in UTC) is within the hours."""
        now = moment.time()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


@dataclass(frozen=True)
class Filter:
    """The devices that a rollout is for: those with one of the values of each attribute that is named here."""

    values: Mapping[str, frozenset[str]]

    def admits(self, attributes: Container[tuple[str, str]]) -> bool:
        """Tell whether it is for a device with these attributes."""
        return all(any((name, value) in attributes for value in values) for name, values in self.values.items())


@dataclass(frozen=True)
class Conditions:
    """Whom a rollout is for, and what must hold before it goes on; raises Invalid.

    `evidence` is what the gate looks at: errors that devices count in the field, and failures; failures alone; or
    nothing, where a stage ends after its wait.
    """

    evidence: Evidence = EVIDENCE
    wait_seconds: int = WAIT_SECONDS
    """The least time that a stage lasts."""
    window: str | None = None
    """As `22:00-05:00`, in UTC; outside of it no further device is given the version."""
    by: str | None = None
    """The attribute of devices by whose values harm is looked for."""
    measure: str | None = None
    """What the application counts in the field, if not the model's metric."""
    margin: float = MARGIN
    least: int = LEAST
    most_failures: float = MOST_FAILURES
    only: tuple[str, ...] = ()
    """Attributes as `region=eu`: the rollout is for devices with one of the values of each; none for all devices."""

    def __post_init__(self) -> None:
        """Raise Invalid if a part makes no sense."""
        if self.evidence not in get_args(Evidence):
            raise Invalid(f"there is no gate {self.evidence!r}", f"choose one of {', '.join(get_args(Evidence))}")
        self.terms()
        self.hours()
        self.filter()
        if self.evidence == "none" and not self.wait_seconds:
            raise Invalid("without a gate a stage needs a least time", "pass a wait, as 1h")

    def terms(self) -> Terms:
        """Return what the gate asks."""
        return Terms(margin=self.margin, least=self.least, most_failures=self.most_failures)

    def hours(self) -> Window | None:
        """Return the hours in which devices are given the version; None for all."""
        return None if self.window is None else _window(self.window)

    def filter(self) -> Filter:
        """Return what tells which devices the rollout is for."""
        named: dict[str, frozenset[str]] = {}
        for text in self.only:
            name, value = _attribute(text) or _no_attribute(text)
            named[name] = named.get(name, frozenset()) | {value}
        return Filter(named)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def from_json(value: Mapping[str, Any]) -> Conditions:
    """Return the conditions of a row."""
    known = {item.name: value[item.name] for item in fields(Conditions) if item.name in value}
    return Conditions(**known | {"only": tuple(known.get("only", ()))})


def stages_of(texts: Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages that texts name; raises Invalid unless they grow up to 100%."""
    stages = tuple(map(stage_of, texts))
    shares = [stage.share for stage in stages if stage.share is not None]
    counts = [stage.count for stage in stages if stage.count is not None]
    if not stages or stages[-1].share != 1:
        raise Invalid("a rollout ends with all devices", f"give stages as {EXAMPLE}")
    if any(later <= earlier for values in (shares, counts) for earlier, later in pairwise(values)):
        raise Invalid("each stage has to reach more devices than the one before", f"give stages as {EXAMPLE}")
    return stages


def place(rollout: int, device: str) -> int:
    """Return a device's place in a rollout: a whole number below PLACES, as good as random, always the same."""
    return leading_bits_of(f"{rollout}/{device}")


def reach(stage: Stage, places: Sequence[int]) -> int:
    """Return the bound below which places have the version in this stage; `places` are those of all devices."""
    if stage.share is not None:
        return round(stage.share * PLACES)
    if stage.count is None:
        return 0
    return PLACES if stage.count >= len(places) else sorted(places)[stage.count]


def stage_of(text: str) -> Stage:
    """Return the stage that a text names; raises Invalid."""
    if parts := re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?) ?%", text):
        share = float(parts[1]) / 100
        if 0 < share <= 1:
            return Stage(text, share=share)
    if re.fullmatch(r"[1-9]\d{0,8}", text):
        return Stage(text, count=int(text))
    if attribute := _attribute(text):
        return Stage(text, attribute=attribute)
    raise Invalid(f"{text[:40]!r} is no stage", f"give stages as {EXAMPLE}")


def _attribute(text: str) -> tuple[str, str] | None:
    parts = re.fullmatch(r"([a-z][a-z0-9_.-]{0,63})=([^,=]{1,100})", text)
    return (parts[1], parts[2]) if parts else None


def _no_attribute(text: str) -> Never:
    raise Invalid(f"{text[:40]!r} is no attribute of devices", "give a name and a value, as region=eu")


def _window(text: str) -> Window:
    parts = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text)
    try:
        begin, end = (time.fromisoformat(part) for part in parts.groups()) if parts else (None, None)
    except ValueError:
        begin = end = None
    if begin is None or end is None or begin == end:
        raise Invalid(f"{text[:40]!r} are no hours of a day", "give them in UTC, as 22:00-05:00")
    return Window(begin, end)
