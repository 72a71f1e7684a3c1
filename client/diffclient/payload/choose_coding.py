"""Planning how a diff is coded: blocks and codebooks for every tensor, those that make the payload shortest.

Only encoders need this; `split_runs` makes the numbers, `fit_codebooks` the codebooks.
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
"""Blocks that must hold a change before it is tried whether classes of them pay."""
_STEPS = (0.5, 1.0)
"""Factors of density between classes that are tried, in octaves."""
_COUNT_BITS = 10
"""About what a count takes in the records."""


@dataclass(frozen=True, eq=False)
class Plan:
    """One tensor's stream as the numbers that are coded."""

    roles: tuple[str, ...]
    """What each run of a chunk is: gaps, patterns, values."""
    block: int
    classes: Classes | None
    counts: tuple[int, ...]
    """As in `records.Layout`."""
    chunks: tuple[tuple[Integers, ...], ...]
    """The runs of each chunk, class by class."""

    def histogram(self, run: int, ranges: Ranges) -> Counts:
        """Return how often the tensor uses each range in its runs of that number; never all 0."""
        coded = np.concatenate([chunk[run] for chunk in self.chunks])
        return ranges.count(coded) if len(coded) else (np.arange(len(ranges.bases)) == 0).astype(np.int64)


@dataclass(frozen=True)
class Coding:
    """Plans and the codebooks for their runs."""

    plans: tuple[Plan, ...]
    books: tuple[Codebook, ...]
    chosen: tuple[tuple[int, ...], ...]
    """For each plan, the codebook of each of its runs by number."""

    def runs(self) -> Iterator[tuple[Codebook, Integers]]:
        """Yield every run that is not empty with its codebook, in the order in which they travel."""
        for plan, books in zip(self.plans, self.chosen, strict=True):
            for chunk in plan.chunks:
                for book, run in zip(books, chunk, strict=True):
                    if len(run):
                        yield self.books[book], run


def choose(streams: Sequence[tuple[TensorSpec, Stream]]) -> Coding:
    """Return how these streams are best coded, each with its tensor."""
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


def _suited(candidates: Sequence[Ranges], found: Integers) -> Ranges:
    """Return ranges as fine as pays for so many numbers."""
    counted = [(within, within.count(found)) for within in candidates]
    return min(counted, key=lambda pair: pair[0].bits(pair[1]) + fit_codebooks.price(pair[1]))[0]


def _plan(stream: Stream, spec: TensorSpec, ranges: Mapping[str, Ranges]) -> Plan:
    """Return the plan with the blocks that take fewest bits."""
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
    dealt = (block_classes.fit(spec, best.block, changed, step) for step in _STEPS)
    return min((best, *(_cut(stream, spec, best.block, found) for found in dealt if found)), key=bits)


def _cut(stream: Sparse | Exact, spec: TensorSpec, block: int, dealt: Classes | None) -> Plan:
    cuts = tuple(cut(stream, spec.size, block, dealt))
    runs = tuple(tuple(run for each in chunk for run in each.runs) for chunk in cuts)
    roles = ("gaps", "values") if block == 1 else ("gaps", f"patterns of {block}", "values", "values", "values")
    return Plan(roles * len(cuts[0]), block, dealt, tuple(each.count for chunk in cuts for each in chunk), runs)


def _bits(plan: Plan, ranges: Mapping[str, Ranges]) -> float:
    """Return about how many bits a plan takes if it shares its codebooks with no other tensor."""
    found = 0.0
    for role in set(plan.roles):
        histograms = [plan.histogram(run, ranges[role]) for run, other in enumerate(plan.roles) if other == role]
        found += sum(
            ranges[role].bits(group) + fit_codebooks.price(group) for group in fit_codebooks.cluster(histograms)[1]
        )
    if plan.classes:
        lines = (plan.classes.rows, plan.classes.columns)
        found += sum(float(fit_codebooks.entropy(np.bincount(line))) for line in lines) + _COUNT_BITS * len(plan.counts)
    return found


def _with_books(plans: tuple[Plan, ...], ranges: Mapping[str, Ranges], thrift: float) -> Coding:
    books: list[Codebook] = []
    chosen: dict[tuple[int, int], int] = {}
    for role, within in ranges.items():
        places = [(at, run) for at, plan in enumerate(plans) for run, other in enumerate(plan.roles) if other == role]
        members, groups = fit_codebooks.cluster([plans[at].histogram(run, within) for at, run in places], thrift)
        chosen |= {place: len(books) + member for place, member in zip(places, members, strict=True)}
        books += [within.codebook(group) for group in groups]
    found = tuple(tuple(chosen[at, run] for run in range(len(plan.roles))) for at, plan in enumerate(plans))
    return Coding(plans, tuple(books), found)
