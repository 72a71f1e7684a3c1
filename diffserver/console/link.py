"""A link of the navigation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """Where a page is, what it is called, and the least role that is shown it."""

    title: str
    path: str
    role: str = "viewer"
