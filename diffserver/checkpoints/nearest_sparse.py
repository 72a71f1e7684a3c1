"""The sparse diff that comes nearest to given changes within a budget: the largest ones are kept, in whole steps.

Two numbers decide, the same for all tensors: how many changes are kept, and the step of the quantiser. Of changes of
the same size the first are kept, in the order of the table and of positions: side by side they take the fewest bytes.
For every step the number of changes follows from the budget; the step that leaves the least squared error is searched
for, by an estimate of the payload's length, and the diff of that step is made to fit by its payload as it is coded.
Nothing is trained here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import payload_length
from diffclient.tensors.tensor_table import Table
from diffserver.checkpoints.changes import Change
from diffserver.checkpoints.quantise import Rung, WantedChange, int8_scales, wanted_change
from diffserver.errors import Invalid

BYTES_A_CHANGE = 1.45
"""The approximate bytes of a kept change, from which the search begins."""

FULL = 0.985
"""A payload of this share of its budget is long enough."""

ATTEMPTS = 12
OCTAVE = 4
"""The number of rungs after which steps are half as large."""

COUNTED = 4096
"""Levels up to here are counted one by one when a length is estimated."""


Length = Callable[[Diff], float]


@dataclass(frozen=True, eq=False)
class Problem:
    """The changes that all tensors should get, and the bytes that there are for them."""

    tensors: Sequence[WantedChange | None]
    table: Table
    limit: int
    sizes: npt.NDArray[np.float32]
    """The sizes of all changes, the largest first, in the units of comparison."""

    def coded(self, diff: Diff) -> float:
        """Return the length of a diff's payload."""
        return payload_length(diff, self.table)


@dataclass(frozen=True, eq=False)
class Attempt:
    """A diff, the length of its payload, and the squared error that it takes away."""

    diff: Diff
    length: float
    gain: float
    count: int
    """The number of changes from which a similar attempt begins."""


def sparse(changes: Sequence[Change], limit: int) -> Diff:
    """Return the sparse diff of at most `limit` payload bytes that comes nearest to the changes.

    Raises Invalid if not even one change fits, or none is of a kind that sparse diffs carry.
    """
    problem = _problem(changes, limit)
    if not len(problem.sizes):
        raise Invalid("no weight changes that a sparse diff can change", "publish it as exact, if anything changes")
    count = min(len(problem.sizes), max(1, int(limit / BYTES_A_CHANGE)))
    rung, count = _best_rung(problem, Rung.below(float(problem.sizes[count - 1])), count)
    best = _with_finer_steps(problem, rung, _most_within(problem, rung, problem.coded, count))
    if best.length > limit or not best.diff.carried:
        raise Invalid(f"the budget of {limit} bytes is too little for a single change", "raise it")
    return best.diff


def _problem(changes: Sequence[Change], limit: int) -> Problem:
    scales = int8_scales(changes)
    tensors = [wanted_change(change, scales.get(change.spec.name)) for change in changes]
    sizes = [sizes[sizes > 0] for sizes in (tensor.sizes for tensor in tensors if tensor)]
    largest_first = np.sort(np.concatenate([np.empty(0, np.float32), *sizes]))[::-1]
    return Problem(tensors, tuple(change.spec for change in changes), limit, largest_first)


def _best_rung(problem: Problem, first: Rung, count: int) -> tuple[Rung, int]:
    """Return the rung with the most gain by estimated lengths, and about how many changes fit there.

    The search goes uphill from `first`, in both directions.
    """
    sample = _attempt(problem, count, first, problem.coded)
    factor = sample.length / max(1.0, estimated_bytes(sample.diff, problem.table))

    def length(diff: Diff) -> float:
        return factor * estimated_bytes(diff, problem.table)

    attempt = _most_within(problem, first, length, count)
    best, most = first, attempt.gain
    for direction in (-1, 1):
        rung = _next_rung(problem, first, direction)
        while rung:
            attempt = _most_within(problem, rung, length, attempt.count)
            if attempt.gain <= most:
                break
            best, most, rung = rung, attempt.gain, _next_rung(problem, rung, direction)
    return best, attempt.count


def _with_finer_steps(problem: Problem, rung: Rung, best: Attempt) -> Attempt:
    """Spend bytes that are left on finer steps; one of the next few may suit changes of whole units best."""
    attempts_left = OCTAVE
    finer = _next_rung(problem, rung, -1)
    while finer and attempts_left and best.length < FULL * problem.limit:
        attempt = _most_within(problem, finer, problem.coded, best.count)
        best, attempts_left = (attempt, OCTAVE) if attempt.gain > best.gain else (best, attempts_left - 1)
        finer = _next_rung(problem, finer, -1)
    return best


def _next_rung(problem: Problem, rung: Rung, direction: int) -> Rung | None:
    """Return the next rung that is another step in some tensor; None where steps cannot be any finer."""

    def steps(number: int) -> list[tuple[int, int | None]]:
        return [tensor.step(Rung(number)) for tensor in problem.tensors if tensor]

    numbers = range(rung.number + direction, rung.number + 9 * direction, direction)
    return next((Rung(number) for number in numbers if steps(number) != steps(rung.number)), None)


def _most_within(problem: Problem, rung: Rung, length: Length, count: int) -> Attempt:
    """Return the most that fits at this step, from `count` changes on; with none, the next one begins there, too.

    What is beyond an empty payload grows about as the changes do.
    """
    limit = problem.limit
    # Below half a step a change would be rounded to nothing.
    most = len(problem.sizes) - int(np.searchsorted(problem.sizes[::-1], rung.value / 2, side="right"))
    best = empty = replace(_attempt(problem, 0, rung, length), count=count)
    count, fitting, too_many = min(count, most), 0, most + 1
    for number in range(ATTEMPTS):
        attempt = _attempt(problem, count, rung, length)
        if attempt.length > limit:
            too_many = count
        else:
            fitting = max(fitting, count)
            best = attempt if attempt.gain >= best.gain else best
        if FULL * limit <= attempt.length <= limit or too_many - fitting <= 1:
            break
        share = ((1 + FULL) / 2 * limit - empty.length) / max(1.0, attempt.length - empty.length)
        count = min(max(int(count * share), fitting + 1), too_many - 1)
        if fitting == 0 and number >= ATTEMPTS // 2:
            count = max(1, too_many // 2)
    return best


def _attempt(problem: Problem, count: int, rung: Rung, length: Length) -> Attempt:
    """Keep the largest `count` changes at this step."""
    masks = _largest(problem, count)
    attempts = [tensor.quantised(next(masks), rung) if tensor else (None, 0.0) for tensor in problem.tensors]
    diff = Diff("sparse", tuple(stream for stream, _ in attempts))
    return Attempt(diff, length(diff), sum(gain for _, gain in attempts), count)


def _largest(problem: Problem, count: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield for every tensor that may change a mask of the largest `count` changes; of equal ones, the first."""
    least = float(problem.sizes[count - 1]) if count else math.inf
    ties = count - (len(problem.sizes) - int(np.searchsorted(problem.sizes[::-1], least, side="right")))
    for tensor in problem.tensors:
        if tensor:
            sizes = tensor.sizes
            mask = sizes > least
            equal = np.flatnonzero(sizes == least)[:ties]
            mask[equal] = True
            ties -= len(equal)
            yield mask


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
