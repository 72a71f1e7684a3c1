"""Choose how a diff is coded: the blocks and codebooks of every tensor that make the payload shortest.

Only encoders need this. Splitting streams is left to `split_runs`, fitting codebooks to `fit_codebooks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import CHUNK, Exact, Hashed, Sparse, Stream, numbers
from diffclient.payload import block_classes, fit_codebooks
from diffclient.payload.block_classes import BLOCK_LIMIT, Classes
from diffclient.payload.codebook import Codebook, Integers
from diffclient.payload.fit_codebooks import Counts, Ranges
from diffclient.payload.records import BOOK_LIMIT
from diffclient.payload.split_runs import cut, firsts
from diffclient.tensors.tensor_table import TensorSpec

_GAP_DETAILS = (2, 1, 0)
_ENOUGH = 300
"""Changed blocks from which on classes are tried."""
_STEPS = (0.5, 1.0)
"""Ratios of density between neighbouring classes that are tried, in octaves."""
_COUNT_BITS = 10
"""Approximate bits of a count in the records."""


@dataclass(frozen=True, eq=False)
class Plan:
    """One tensor's stream as the numbers that are coded."""

    roles: tuple[str, ...]
    """The content of each run of a chunk: gaps, patterns or values."""
    block: int
    classes: Classes | None
    counts: tuple[int, ...]
    """As in `records.Layout`."""
    chunks: tuple[tuple[Integers, ...], ...]
    """The runs of each chunk, class by class."""

    def histogram(self, run: int, ranges: Ranges) -> Counts:
        """Return how often the tensor uses each range in its runs of that index; never all 0."""
        coded = np.concatenate([chunk[run] for chunk in self.chunks])
        return ranges.count(coded) if len(coded) else (np.arange(len(ranges.bases)) == 0).astype(np.int64)


@dataclass(frozen=True)
class Coding:
    """Plans and the codebooks for their runs."""

    plans: tuple[Plan, ...]
    books: tuple[Codebook, ...]
    book_numbers: tuple[tuple[int, ...], ...]
    """For each plan, the codebook of each of its runs by number."""

    def runs(self) -> Iterator[tuple[Codebook, Integers]]:
        """Yield every run that is not empty with its codebook, in the order in which they travel."""
        for plan, books in zip(self.plans, self.book_numbers, strict=True):
            for chunk in plan.chunks:
                for book, run in zip(books, chunk, strict=True):
                    if len(run):
                        yield self.books[book], run


def choose(streams: Sequence[tuple[TensorSpec, Stream]]) -> Coding:
    """Return the shortest coding found for these streams, each given with its tensor."""
    ranges = _ranges([stream for _, stream in streams])
    plans = tuple(_plan(stream, spec, ranges) for spec, stream in streams)
    thrift = 1.0
    while len((coding := _with_books(plans, ranges, thrift)).books) > BOOK_LIMIT:
        thrift *= 4
    return coding


def _ranges(streams: Sequence[Stream]) -> dict[str, Ranges]:
    """Return the ranges for each role."""
    patterns = {
        f"patterns of {block}": fit_codebooks.finest(1, (1 << block) - 1) for block in range(2, BLOCK_LIMIT + 1)
    }
    return {"gaps": _gap_ranges(streams), "values": _value_ranges(streams), **patterns}


def _gap_ranges(streams: Sequence[Stream]) -> Ranges:
    gaps = [np.diff(stream.positions) - 1 for stream in streams if not isinstance(stream, Hashed)]
    candidates = [fit_codebooks.ranges(0, CHUNK, detail) for detail in _GAP_DETAILS]
    return _suited(candidates, np.concatenate([np.empty(0, np.int64), *gaps]).clip(0, CHUNK))


def _value_ranges(streams: Sequence[Stream]) -> Ranges:
    values = np.concatenate([np.zeros(1, np.int64), *map(numbers, streams)])  # 0: in the dense form
    low, high = int(values.min()), int(values.max())
    if any(isinstance(stream, Sparse) for stream in streams):  # in contexts, signs are relative to the value before
        low, high = min(low, -high), max(high, -low)
    return _suited(
        [fit_codebooks.finest(low, high), fit_codebooks.ranges(low, high, 0), fit_codebooks.single(low, high)], values
    )


def _suited(candidates: Sequence[Ranges], coded: Integers) -> Ranges:
    """Return the candidate that codes these numbers in the fewest bits, its codebook included."""
    counted = [(within, within.count(coded)) for within in candidates]
    return min(counted, key=lambda pair: pair[0].bits(pair[1]) + fit_codebooks.price(pair[1]))[0]


def _plan(stream: Stream, spec: TensorSpec, ranges: Mapping[str, Ranges]) -> Plan:
    """Return the plan whose blocks take the fewest bits."""
    if isinstance(stream, Hashed):
        return Plan(("values",), 1, None, (len(stream.levels),), ((numbers(stream),),))
    blocks = [1]
    if isinstance(stream, Sparse) and spec.shape and 1 < spec.shape[-1] <= BLOCK_LIMIT:
        blocks.append(spec.shape[-1])

    def bits(plan: Plan) -> float:
        return _bits(plan, ranges)

    best = min((_cut(stream, spec, block, None) for block in blocks), key=bits)
    places = stream.positions // best.block
    changed = places[firsts(places)]
    if len(changed) < _ENOUGH:
        return best
    candidates = (block_classes.fit(spec, best.block, changed, step) for step in _STEPS)
    return min((best, *(_cut(stream, spec, best.block, classes) for classes in candidates if classes)), key=bits)


def _cut(stream: Sparse | Exact, spec: TensorSpec, block: int, classes: Classes | None) -> Plan:
    cuts = tuple(cut(stream, spec.size, block, classes))
    runs = tuple(tuple(run for piece in chunk for run in piece.runs) for chunk in cuts)
    roles = ("gaps", "values") if block == 1 else ("gaps", f"patterns of {block}", "values", "values", "values")
    return Plan(roles * len(cuts[0]), block, classes, tuple(piece.count for chunk in cuts for piece in chunk), runs)


def _bits(plan: Plan, ranges: Mapping[str, Ranges]) -> float:
    """Return about how many bits a plan takes with codebooks of its own."""
    total = 0.0
    for role in set(plan.roles):
        histograms = [plan.histogram(run, ranges[role]) for run, use in enumerate(plan.roles) if use == role]
        total += sum(
            ranges[role].bits(group) + fit_codebooks.price(group) for group in fit_codebooks.cluster(histograms)[1]
        )
    if plan.classes:
        lines = (plan.classes.rows, plan.classes.columns)
        total += sum(float(fit_codebooks.entropy(np.bincount(grades))) for grades in lines) + _COUNT_BITS * len(
            plan.counts
        )
    return total


def _with_books(plans: tuple[Plan, ...], ranges: Mapping[str, Ranges], thrift: float) -> Coding:
    books: list[Codebook] = []
    numbers_by_run: dict[tuple[int, int], int] = {}
    for role, within in ranges.items():
        places = [(index, run) for index, plan in enumerate(plans) for run, use in enumerate(plan.roles) if use == role]
        members, groups = fit_codebooks.cluster([plans[index].histogram(run, within) for index, run in places], thrift)
        numbers_by_run |= {place: len(books) + member for place, member in zip(places, members, strict=True)}
        books += [within.codebook(group) for group in groups]
    book_numbers = tuple(
        tuple(numbers_by_run[index, run] for run in range(len(plan.roles))) for index, plan in enumerate(plans)
    )
    return Coding(plans, tuple(books), book_numbers)
