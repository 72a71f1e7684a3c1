"""Errors counted on labelled examples: adding them up, and their rate. What counts as one is its task's affair."""

from __future__ import annotations

from dataclasses import dataclass

COUNT_LIMIT = 2**31 - 1
"""What no figure may exceed that is told to a server."""


@dataclass(frozen=True)
class Errors:
    """So many errors in so many things that are counted: words, gestures, whatever the metric says."""

    errors: int
    total: int

    @property
    def error_rate_ppm(self) -> int:
        """The error rate in parts per million, rounded down, at most what a report carries; 0 if nothing is counted."""
        return min(self.errors * 1_000_000 // self.total, COUNT_LIMIT) if self.total else 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.errors + other.errors, self.total + other.total)
