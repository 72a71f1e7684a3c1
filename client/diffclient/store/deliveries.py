"""Versions that were fetched whole as a fallback, and when one may be fetched so again.

Or else a device whose disk or memory fails would fetch the whole model at every poll. Pure; keeping this is left to
`state`, and what counts as a fallback to `outcome`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

DAY = 24 * 3600
VERSIONS_LIMIT = 20
"""Versions remembered; the oldest are dropped."""


@dataclass(frozen=True)
class Delivery:
    """How often a version was fetched whole as a fallback, and when last, in seconds since 1970."""

    digest: str
    times: int
    at: int

    def waits(self, now: float, most: int) -> float:
        """Return the seconds until it may be fetched whole again: a day after the first time, then two, then four.

        After `most` times they are infinite; 0 is no limit, and no wait.
        """
        if most == 0:
            return 0.0
        if self.times >= most:
            return float("inf")
        # A clock that was set back must not hold a version back for longer.
        return max(0.0, DAY * 2.0 ** (self.times - 1) - abs(now - self.at))


def counted(deliveries: Sequence[Delivery], digest: str, now: float) -> tuple[Delivery, ...]:
    """Return the deliveries with one more of a version."""
    before = find(deliveries, digest) or Delivery(digest, 0, 0)
    others = [delivery for delivery in deliveries if delivery != before]
    return (*others, replace(before, times=before.times + 1, at=int(now)))[-VERSIONS_LIMIT:]


def find(deliveries: Sequence[Delivery], digest: str | None) -> Delivery | None:
    """Return what is known of a version; None if it was not fetched whole as a fallback."""
    return next((delivery for delivery in deliveries if delivery.digest == digest), None)
