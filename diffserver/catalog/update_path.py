"""The planner: the cheapest way from what a device holds to the version it shall have.

Pure: versions are digests, steps are edges, bytes are costs. Versions are ordered by the graph alone; what is
newer or older plays no part. Storing steps and answering devices are left to others.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from diffserver.errors import NoPath


@dataclass(frozen=True)
class Edge:
    """A step of `length` bytes to a version: a diff from another version, or a snapshot from nothing."""

    from_digest: str | None
    to_digest: str
    length: int


def plan(edges: Iterable[Edge], device: str | None, target: str) -> tuple[Edge, ...]:
    """Return the steps of fewest bytes (and then fewest steps) to `target`; none if the device is there.

    `device` is what the device holds: None, or a digest, which may be one that no edge mentions. A snapshot
    needs nothing, so it can only come first. Raises NoPath.
    """
    leaving = _by_start(edges)
    best: dict[str | None, tuple[int, int]] = {None: (0, 0), device: (0, 0)}
    arrival: dict[str | None, Edge] = {}
    queue: list[tuple[int, int, str]] = [(0, 0, start or "") for start in best]
    while queue:
        length, steps, name = heapq.heappop(queue)
        here = name or None
        if here == target:
            return _walk_back(arrival, target)
        if (length, steps) > best[here]:
            continue
        for edge in leaving[here]:
            cost = (length + edge.length, steps + 1)
            if edge.to_digest not in best or cost < best[edge.to_digest]:
                best[edge.to_digest] = cost
                arrival[edge.to_digest] = edge
                heapq.heappush(queue, (*cost, edge.to_digest))
    raise _no_path(edges, device, target)


def _by_start(edges: Iterable[Edge]) -> Mapping[str | None, Sequence[Edge]]:
    leaving: defaultdict[str | None, list[Edge]] = defaultdict(list)
    for edge in edges:
        leaving[edge.from_digest].append(edge)
    return leaving


def _walk_back(arrival: Mapping[str | None, Edge], target: str) -> tuple[Edge, ...]:
    steps = []
    here: str | None = target
    while here in arrival:
        steps.append(arrival[here])
        here = arrival[here].from_digest
    return tuple(reversed(steps))


def _no_path(edges: Iterable[Edge], device: str | None, target: str) -> NoPath:
    reachable_from = {target}
    arriving = defaultdict(list)
    for edge in edges:
        arriving[edge.to_digest].append(edge.from_digest)
    queue = [target]
    while queue:
        for start in arriving[queue.pop()]:
            if start is not None and start not in reachable_from:
                reachable_from.add(start)
                queue.append(start)
    links = ", ".join(sorted(digest[:12] for digest in reachable_from))
    held = f"version {device[:12]}" if device else "nothing"
    return NoPath(
        f"no steps lead from {held} to version {target[:12]}: "
        f"what is missing is a snapshot of, or a diff to, any of {links}",
        target,
        sorted(reachable_from),
    )
