"""The bars for the figures: each names its case, the value, the limit, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.peers import BYTE_LEVEL

Figures = dict[str, Any]

FULL_SIZE = 10_000_000
"""Weights from which a synthetic case has a bar; in a smaller one the fixed header dominates."""
LARGE_SIZE = 250_000_000
"""Weights of the case whose encoding is timed: 1 GB of fp32."""
MANY_TENSORS = "200 tensors, 5,000 changes"
"""The case whose header has a bar."""


def check(cases: list[Figures]) -> list[Figures]:
    """Return the bars of the cases."""
    return [bar for case in cases for bar in _of(case)]


def _of(case: Figures) -> Iterator[Figures]:
    name, ratio = case["name"], case["ratio_to_limit"]
    if name.startswith("synthetic") and case["n"] >= FULL_SIZE:
        yield _bar(name, "bytes / limit", ratio, 1.02)
        if abs(case["density"] - 0.01) < 1e-6:
            yield _bar(name, "bytes a changed weight", case["bytes_per_change"], 1.45)
    if "trained" in name:
        yield _bar(name, "bytes / uniform limit", ratio, 0.97)
    if name == MANY_TENSORS:
        yield _bar(name, "header / bytes", case["header_bytes"] / case["bytes"], 0.10)
    if case["kind"] == "exact":
        for peer in BYTE_LEVEL:
            if peer.name in case["peers"]:
                yield _bar(name, f"bytes / {peer.name}'s", case["bytes"] / case["peers"][peer.name], 1.0)
    if case["n"] >= LARGE_SIZE:
        yield _bar(name, "seconds to encode", case["seconds_encode"], 30.0)


def _bar(case: str, what: str, value: float, most: float) -> Figures:
    return {"case": case, "what": what, "value": value, "at_most": most, "holds": value <= most}
