"""The sparse diff that comes nearest to given changes within a budget: the largest ones are kept, in whole steps.

Two numbers decide, the same for all tensors: how many changes are kept, and the step of the quantiser. For every step
the first follows from the budget; the step that leaves the least squared error is searched for, by an estimate of the
payload's length, and the diff of that step is made to fit by its payload as it is coded. Nothing is trained here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors.tensor_table import Table
from diffserver.checkpoints.changes import Change
from diffserver.checkpoints.quantise import Rung, Wanted, wanted_of
from diffserver.errors import Invalid

BYTES_A_CHANGE = 1.45
"""What a kept change costs, about: where the search begins."""

FULL = 0.985
"""A payload of this share of its budget is not made longer any more."""

ATTEMPTS = 12
COUNTED = 4096
"""Levels up to here are counted one by one when a length is estimated."""


Length = Callable[[Diff], float]


@dataclass(frozen=True, eq=False)
class Attempt:
    """A diff, the length of its payload, and the squared error that it takes away."""

    diff: Diff
    length: float
    gain: float


def sparse(found: Sequence[Change], limit: int) -> Diff:
    """Return the sparse diff of at most `limit` payload bytes that comes nearest to the changes.

    Raises Invalid if not even one change fits, or none is of a kind that sparse diffs carry.
    """
    return Search([wanted_of(change) for change in found], tuple(change.spec for change in found), limit).run()


class Search:
    """All tensors' changes, and what has been learned of the budget so far."""

    def __init__(self, wanted: Sequence[Wanted | None], table: Table, limit: int) -> None:
        self._wanted, self._table, self._limit = wanted, table, limit
        sizes = [np.abs(one.deltas[one.deltas != 0]).astype(np.float32) * np.float32(one.unit) for one in wanted if one]
        self._sizes = np.sort(np.concatenate([np.empty(0, np.float32), *sizes]))[::-1]
        self._count = min(len(self._sizes), max(1, int(limit / BYTES_A_CHANGE)))

    def run(self) -> Diff:
        """Return the best diff within the limit; raises Invalid if none is."""
        if not len(self._sizes):
            raise Invalid("no weight changes that a sparse diff can change", "publish it as exact, if anything changes")
        rung = Rung.below(float(self._sizes[self._count - 1]))
        best = self._within(self._best(rung), self._coded)
        if best.length > self._limit or not best.diff.carried:
            raise Invalid(f"the budget of {self._limit} bytes is too little for a single change", "raise it")
        return best.diff

    def _best(self, first: Rung) -> Rung:
        """Return the rung with the most gain by estimated lengths: uphill from `first`, in both directions."""
        sample = self._attempt(self._count, first, self._coded)
        factor = sample.length / max(1.0, estimated_bytes(sample.diff, self._table))

        def length(diff: Diff) -> float:
            return factor * estimated_bytes(diff, self._table)

        best, most = first, self._within(first, length).gain
        for direction in (-1, 1):
            rung = self._next(first, direction)
            while rung and (gain := self._within(rung, length).gain) > most:
                best, most, rung = rung, gain, self._next(rung, direction)
        return best

    def _next(self, rung: Rung, direction: int) -> Rung | None:
        """Return the next rung that is another step in some tensor; None where steps cannot be any finer."""

        def steps(number: int) -> list[tuple[int, int | None]]:
            return [one.step(Rung(number)) for one in self._wanted if one]

        numbers = range(rung.number + direction, rung.number + 9 * direction, direction)
        return next((Rung(number) for number in numbers if steps(number) != steps(rung.number)), None)

    def _within(self, rung: Rung, length: Length) -> Attempt:
        """Return the most that fits at this step: what is beyond an empty payload grows about as the changes do."""
        # Below half a step a change would be rounded to nothing.
        most = len(self._sizes) - int(np.searchsorted(self._sizes[::-1], rung.value / 2, side="right"))
        best = empty = self._attempt(0, rung, length)
        count, too_many = min(self._count, most), most + 1
        for attempt in range(ATTEMPTS):
            found = self._attempt(count, rung, length)
            if found.length > self._limit:
                too_many = count
            elif found.gain >= best.gain:
                best, self._count = found, count
            if found.length <= self._limit and (found.length >= FULL * self._limit or count == most):
                break
            share = ((1 + FULL) / 2 * self._limit - empty.length) / max(1.0, found.length - empty.length)
            count = max(1, min(int(count * share), too_many - 1, most))
            if best is empty and attempt >= ATTEMPTS // 2:
                count = max(1, too_many // 2)
        return best

    def _attempt(self, count: int, rung: Rung, length: Length) -> Attempt:
        threshold = float(self._sizes[count]) if count < len(self._sizes) else 0.0
        threshold = max(threshold, rung.value / 2 * (1 - 1e-9)) if count else math.inf
        found = [one.kept(threshold, rung) if one else (None, 0.0) for one in self._wanted]
        diff = Diff("sparse", tuple(stream for stream, _ in found))
        return Attempt(diff, length(diff), sum(gain for _, gain in found))

    def _coded(self, diff: Diff) -> float:
        return payload_length(diff, self._table)


def estimated_bytes(diff: Diff, table: Table) -> float:
    """Return the entropy of a sparse diff's positions, if they were drawn at random, and of its levels."""
    streams = [(spec, stream) for spec, stream in zip(table, diff.streams, strict=True) if isinstance(stream, Sparse)]
    return sum(_position_bits(len(stream.levels), spec.size) + _level_bits(stream) for spec, stream in streams) / 8


def _position_bits(count: int, size: int) -> float:
    return sum(part * math.log2(size / part) for part in (count, size - count) if part)


def _level_bits(stream: Sparse) -> float:
    sizes = np.abs(stream.levels)
    counts = np.bincount(np.minimum(sizes, COUNTED))
    counts = counts[counts > 0]
    beyond = np.log2(sizes[sizes > COUNTED] / COUNTED).sum()
    return float(np.sum(counts * np.log2(len(sizes) / counts)) + len(sizes) + beyond)
