"""What must hold before a rollout goes on, as people read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EVIDENCE = {
    "field": "errors in the field, and failures",
    "failures": "failures",
    "none": "nothing: a stage ends after its time",
}
"""What a gate looks at."""

TERMS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "only": ("Only devices with", ", ".join),
    "evidence": ("The gate looks at", lambda value: EVIDENCE.get(value, value)),
    "margin": ("Worsening that is borne", lambda points: f"{points:g} points"),
    "least": ("Devices that must have reported, on each side", lambda count: f"{count:,}"),
    "most_failures": ("Failures that are borne", lambda share: f"{100 * share:.3g} %"),
    "by": ("Harm is looked for by", str),
    "measure": ("What is counted in the field", str),
    "wait_seconds": ("Least time of a stage", lambda seconds: f"{seconds / 3600:.3g} hours"),
    "window": ("Hours of the day, UTC", str),
}
"""By the API's name of a condition: what it is called, and how its value is said."""


def terms_of(conditions: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the conditions that say something, each with its value."""
    return [(name, said(conditions[key])) for key, (name, said) in TERMS.items() if conditions.get(key)]
