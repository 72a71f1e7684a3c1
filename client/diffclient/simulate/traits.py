"""What one device of a fleet is like, and what happens to it on a day: the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diffclient.measure.error_count import Errors
from diffclient.network.report import Cause
from diffclient.simulate.plan import Attribute, Effect, Plan


@dataclass(frozen=True)
class Traits:
    """A device of a fleet, by its number."""

    number: int
    attributes: Mapping[str, str]
    metered: bool
    counts: bool
    """Whether it counts errors in the field."""
    rate: float
    """Its own error rate, in percent, with a version that changes nothing."""
    clock_offset: int
    """Seconds by which its clock is ahead."""

    @property
    def name(self) -> str:
        """What operators call it."""
        return f"simulated-{self.number}"


def traits(plan: Plan, number: int) -> Traits:
    """Return what the device of that number is like."""
    draw = _draw(plan, number)
    return Traits(
        number,
        {attribute.name: _value(attribute, draw.random()) for attribute in plan.attributes},
        metered=draw.random() < plan.metered,
        counts=draw.random() < plan.counting,
        rate=max(0.0, draw.gauss(plan.rate, plan.spread)),
        clock_offset=round(draw.gauss(0, plan.clock_offset)),
    )


def is_offline(plan: Plan, number: int, day: float) -> bool:
    """Tell whether a device is offline on a day: spells begin at another moment on each device."""
    phase = _draw(plan, number, "phase").random()
    spell = int(day / plan.offline_days + phase)
    return _draw(plan, number, "spell", spell).random() < plan.offline


def fault(plan: Plan, number: int, version: int | None, day: float) -> Cause | None:
    """Return what is at fault if the update to a version fails on that day; None if it does not."""
    for place, chance in enumerate(plan.faults):
        due = chance.version in (None, version)
        if due and _draw(plan, number, "fault", place, version, day).random() < chance.share:
            return chance.cause
    return None


def affects(plan: Plan, effect: Effect, device: Traits, version: int) -> bool:
    """Tell whether a version has that effect on a device."""
    name, value = effect.attribute or ("", None)
    among = effect.attribute is None or device.attributes.get(name) == value
    chosen = effect.version == version and among
    return chosen and _draw(plan, device.number, "effect", version).random() < effect.share


def counted(plan: Plan, device: Traits, version: int, day: float) -> Errors:
    """Return what a device counts in the field on a day; there may be more errors than words."""
    points = sum(effect.points for effect in plan.effects if affects(plan, effect, device, version))
    rate = max(0.0, device.rate + plan.drift * day + points)
    made = np.random.default_rng([plan.seed, device.number, round(day * 1000)]).poisson(plan.words * rate / 100)
    return Errors(int(made), plan.words)


def _value(attribute: Attribute, place: float) -> str:
    """Return the value at a place between 0 and 1, each value taking as much room as its share."""
    total = sum(share for _, share in attribute.shares)
    for value, share in attribute.shares:
        place -= share / total
        if place < 0:
            return value
    return attribute.shares[-1][0]


def _draw(plan: Plan, number: int, *about: object) -> random.Random:
    """Return chance that is the same for the same seed, device and matter."""
    return random.Random(f"{plan.seed} {number} {about}")
