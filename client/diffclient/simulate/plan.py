"""What a simulated fleet is like: how many devices, what befalls them, and how well a model does on them.

Values only. What this makes of one device is left to `traits`.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffclient.network.report import Cause


@dataclass(frozen=True)
class Effect:
    """What a version changes in the error rate, in points, on some devices."""

    version: int
    points: float
    share: float = 1.0
    """The share of devices, chosen by the seed."""
    attribute: tuple[str, str] | None = None
    """The name and value of those that are changed; None: any."""


@dataclass(frozen=True)
class Fault:
    """A share of updates that fail, and what is at fault."""

    cause: Cause
    share: float
    version: int | None = None
    """The version whose updates fail; None: any."""


@dataclass(frozen=True)
class Attribute:
    """An attribute of devices, and the share of them that have each value."""

    name: str
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Plan:
    """A fleet; the same plan makes the same devices, to whom the same happens. Times are in days of the simulation."""

    devices: int
    real: int = 0
    """How many of them are real updaters with a store each; the others speak the protocol alone."""
    seed: int = 0
    attributes: tuple[Attribute, ...] = ()
    faults: tuple[Fault, ...] = ()
    offline: float = 0.0
    """The share of devices that are offline at any time."""
    offline_days: float = 1.0
    """How long each is offline at a time."""
    metered: float = 0.0
    """The share of devices whose link is metered once they have their first version."""
    clock_offset: float = 0.0
    """The standard deviation of their clocks, in seconds; of devices by protocol."""
    counting: float = 0.1
    """The share of devices that count errors in the field."""
    words: int = 200
    """How many words each of those counts in a day."""
    rate: float = 8.0
    """The mean error rate, in percent."""
    spread: float = 4.0
    """The standard deviation of devices' error rates around it, in points."""
    drift: float = 0.0
    """What every error rate gains in a day, in points, whatever the version."""
    effects: tuple[Effect, ...] = ()
