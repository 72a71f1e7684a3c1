"""What pages say of candidates and versions, from the API's answers: error rates by test set, drift, what travels.

Counts of errors become rates here, by the rules of `evaluation`; nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffclient.measure.error_count import Errors
from diffserver.evaluation import error_rate, from_json, mean_error_rate

PARTS = (("payload", "Payload"), ("graph", "Graph"), ("probes", "Probe set"), ("metadata", "Metadata"))
"""What travels for a version."""

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class TestSet:
    """A test set's error rate, and its parent's, in percent."""

    name: str
    rate: float
    errors: int
    total: int
    before: float | None

    @property
    def change(self) -> float | None:
        """Return the points that it gained or lost."""
        return None if self.before is None else self.rate - self.before


def test_sets(evaluation: Answer) -> list[TestSet]:
    """Return a candidate's test sets in their order."""
    before, after = from_json(evaluation, "parent"), from_json(evaluation, "candidate")
    return [
        TestSet(name, error_rate(now), now.errors, now.total, error_rate(before[name]) if name in before else None)
        for name, now in after.items()
    ]


def mean(evaluation: Answer) -> float | None:
    """Return the mean of a candidate's error rates in percent; None where nothing was measured."""
    measured = from_json(evaluation, "candidate")
    return mean_error_rate(measured) if measured else None


def rates(version: Answer) -> dict[str, float]:
    """Return a version's error rates by test set, in percent."""
    return {name: error_rate(Errors(**errors)) for name, errors in version["errors"].items()}


def drift(candidate: Answer | None) -> float | None:
    """Return a candidate's drift against the full chain in points; None where it is not known."""
    known = [trial["drift"] for trial in (candidate or {}).get("tried", ()) if trial["chosen"]]
    return known[0] if known else None


def travels(item: Answer) -> Sequence[tuple[str, int | None]]:
    """Return the parts of what a device at the parent fetches, and all of them together."""
    fetched = item["to_fetch"]
    return [*((title, fetched[part]) for part, title in PARTS), ("All together", fetched["total"])] if fetched else []
