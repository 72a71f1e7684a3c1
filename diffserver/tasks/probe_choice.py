"""Choose the examples of a part of the probe set: a sample for a base, for an update those that decide.

Examples decide where disturbed weights err on them sooner than on others. Errors are counted as on devices, on each
example as a part by itself. Writing parts is left to the task.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from diffclient.measure.error_count import Errors
from diffclient.measure.probation import TOLERANCE
from diffclient.tensors.snapshot import Snapshot
from diffserver.tasks.disturbed import Disturbed
from diffserver.tasks.task import Task

Counts = npt.NDArray[np.int64]

SHARE = 0.25
"""The most that a part may have of the bytes that it comes with, those of a payload or of a base's snapshot."""

WHOLE = 64
"""Items that a whole probe set has at least: a model that errs on a tenth of them more passes with less than 1 %."""

LEAST, MOST = TOLERANCE + 1, 32
"""Items of an update's part: with the fewest, a model that gets all of them wrong is still refused."""

POOL = 64
"""Examples of a test set that are considered."""

LEVELS, SEEDS = (1 / 8, 1 / 4, 1 / 2), (0, 1)
"""Noise on weights, as shares of them, that tells which examples decide."""

ROUNDING = 2**-11
"""Noise like that of half precision: examples on which it changes anything would refuse sound devices."""


@dataclass(frozen=True)
class Wish:
    """What a part is to have: at least and at most so many items, and between them as many as the bytes allow."""

    least: int
    most: int
    limit: int


def of_base(snapshot_bytes: int) -> Wish:
    """Return what the part of a base is to have."""
    return Wish(LEAST, WHOLE, int(SHARE * snapshot_bytes))


def of_update(payload_bytes: int, known: int) -> Wish:
    """Return what an update adds to a probe set on which its parent gets `known` items right."""
    missing = max(0, WHOLE - known)
    return Wish(max(LEAST, missing), max(MOST, missing), int(SHARE * payload_bytes))


@dataclass(frozen=True)
class Pool:
    """Some examples of a domain's test set, each written as a part by itself, and a version to measure on them."""

    task: Task
    domain: Path
    graph: Path
    version: Snapshot
    numbers: Sequence[int]
    parts: Sequence[Path]

    def score(self, weights: Snapshot) -> Sequence[Errors]:
        """Return the errors of some weights on each example, as a device counts them."""
        return self.task.score(self.graph, weights, self.parts)


def draw(task: Task, domain: Path, graph: Path, version: Snapshot, seed: int, folder: Path) -> Pool:
    """Draw examples by the seed and write each into `folder`."""
    count = len(task.examples(domain, "test"))
    numbers = np.random.default_rng(seed).permutation(count)[:POOL].tolist()
    folder.mkdir()
    parts = [folder / str(number) for number in numbers]
    for number, part in zip(numbers, parts, strict=True):
        part.write_bytes(task.probe(domain, "test", [number]))
    return Pool(task, domain, graph, version, numbers, parts)


def sample(pool: Pool, wish: Wish) -> bytes:
    """Return a part of examples as they were drawn: on it drift is measured, and others would overstate it."""
    return _filled(pool, range(len(pool.numbers)), pool.score(pool.version), wish)


def decisive(pool: Pool, wish: Wish) -> bytes:
    """Return a part of the examples on which disturbed weights err soonest, by their bytes; unsteady ones come last."""
    right = pool.score(pool.version)
    sizes = np.array([part.stat().st_size for part in pool.parts])
    decided = sum((_more(pool, right, level, seed).clip(0) / level**2 for level, seed in product(LEVELS, SEEDS)))
    unsteady = _more(pool, right, ROUNDING, SEEDS[0]) != 0
    return _filled(pool, np.lexsort((-decided / sizes, unsteady)).tolist(), right, wish)


def _more(pool: Pool, right: Sequence[Errors], level: float, seed: int) -> Counts:
    """Return how many errors more disturbed weights make on each example."""
    disturbed = pool.score(Disturbed(pool.version.path, level, seed))
    pairs = zip(disturbed, right, strict=True)
    return np.array([wrong.errors - errors.errors for wrong, errors in pairs], np.int64)


def _filled(pool: Pool, order: Sequence[int], right: Sequence[Errors], wish: Wish) -> bytes:
    """Return the part of the first examples in this order that is as long as is wished, if there are as many."""
    items = list(accumulate(right[place].total for place in order))
    least, most = (min(bisect_left(items, bound) + 1, len(items)) for bound in (wish.least, wish.most))

    def part(count: int) -> bytes:
        return pool.task.probe(pool.domain, "test", sorted(pool.numbers[place] for place in order[:count]))

    more = range(least + 1, most + 1)
    count = least + bisect_right(more, wish.limit, key=lambda count: len(part(count)))
    return part(count)
