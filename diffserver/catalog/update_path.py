"""The planner: the cheapest way from what a device holds to the version it shall have.

Pure: versions are digests, steps are edges, bytes are costs. Versions are ordered by the graph alone; what is
newer or older plays no part. Storing steps and answering devices are left to others.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from diffserver.errors import NoPath


class Edge(NamedTuple):
    """A step of `length` bytes to a version: a diff from another version, or a snapshot from nothing."""

    from_digest: str | None
    to_digest: str
    length: int


Arriving = Callable[[str], Iterable[Edge]]
"""The steps to a version; the planner asks for those of the versions alone that it comes by."""


def arriving(edges: Iterable[Edge]) -> Arriving:
    """Return the steps of a list by the version that they lead to."""
    steps: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        steps[edge.to_digest].append(edge)
    return lambda version: steps.get(version, ())


def plan(arriving: Arriving, device: str | None, target: str) -> tuple[Edge, ...]:
    """Return the steps of fewest bytes (and then fewest steps) to `target`; none if the device is there.

    `device` is what the device holds: None, or a digest, which may be one that no edge mentions. A snapshot
    needs nothing, so it can only come first. The search begins at the target (Dijkstra), so that it looks at versions
    between the two and no others, however many there are. Raises NoPath.
    """
    best: dict[str | None, tuple[int, int]] = {target: (0, 0)}
    leaving: dict[str | None, Edge] = {}
    queue: list[tuple[int, int, str]] = [(0, 0, target)]
    while queue:
        length, steps, name = heapq.heappop(queue)
        here = name or None
        if here is None or here == device:
            return _walk(leaving, here, target)
        if (length, steps) > best[here]:
            continue
        for edge in arriving(here):
            start, cost = edge.from_digest, (length + edge.length, steps + 1)
            if start not in best or cost < best[start]:
                best[start], leaving[start] = cost, edge
                heapq.heappush(queue, (*cost, start or ""))
    raise _no_path(device, target, [digest for digest in best if digest])


def _walk(leaving: Mapping[str | None, Edge], start: str | None, target: str) -> tuple[Edge, ...]:
    steps, here = [], start
    while here != target:
        steps.append(leaving[here])
        here = leaving[here].to_digest
    return tuple(steps)


def _no_path(device: str | None, target: str, reachable_from: Iterable[str]) -> NoPath:
    links = sorted(reachable_from)
    held = f"version {device[:12]}" if device else "nothing"
    return NoPath(
        f"no steps lead from {held} to version {target[:12]}: "
        f"what is missing is a snapshot of, or a diff to, any of {', '.join(digest[:12] for digest in links)}",
        target,
        links,
    )
