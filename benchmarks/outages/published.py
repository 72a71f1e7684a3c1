"""What was published when, and with it what an answer may say at a moment."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from diffserver.polls.memory import LONGEST_SECONDS

STALE_SECONDS = LONGEST_SECONDS + 1.0
"""For so long a server may answer polls by what it remembers, and a second for the answer's way."""


@dataclass
class Published:
    """A version from the moment at which an operator asked to publish it; acknowledged once the answer came."""

    number: int
    digest: str
    asked_at: float
    acknowledged_at: float | None = None


@dataclass
class History:
    """The versions of a model in order; written by one thread, read by many."""

    versions: list[Published] = field(default_factory=list)

    def begin(self, number: int, digest: str) -> Published:
        """Add a version that is about to be published."""
        self.versions.append(Published(number, digest, time.monotonic()))
        return self.versions[-1]

    @property
    def acknowledged(self) -> list[Published]:
        """The versions of which an operator was told that they are published."""
        return [version for version in self.versions if version.acknowledged_at is not None]

    @property
    def median_seconds(self) -> float:
        """Return how long publishing took, in the median."""
        return statistics.median((one.acknowledged_at or 0.0) - one.asked_at for one in self.acknowledged)

    def fault(self, number: int | None, digest: str | None, asked: float, stale: float = 0.0) -> str | None:
        """Return what is wrong with an answer that names this version, to who asked at a moment; None if nothing is.

        It may be older by `stale` seconds, and newer by what was published before it came.
        """
        known = self.acknowledged
        least = max((one.number for one in known if (one.acknowledged_at or 0.0) < asked - stale), default=None)
        named = next((one for one in self.versions if one.number == number), None)
        if named is None:
            return None if number is None and least is None else f"version {number}, which nobody has published"
        if named.digest != digest:
            return f"version {number} with the digest {digest}, and not {named.digest}"
        if least is not None and named.number < least:
            return f"version {number}, though version {least} was published before"
        return None
