"""Choose how a diff is coded: the blocks and codebooks of every tensor that make the payload shortest.

Only encoders need this. Splitting streams is left to `split_runs`, fitting codebooks to `fit_codebooks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import CHUNK, Hashed, Positioned, Sparse, Stream, chunks, numbers
from diffclient.payload import block_classes, fit_codebooks
from diffclient.payload.block_classes import BLOCK_LIMIT, Classes
from diffclient.payload.codebook import Codebook, Integers
from diffclient.payload.fit_codebooks import Counts, Ranges
from diffclient.payload.records import BOOK_LIMIT
from diffclient.payload.split_runs import changed_blocks, cut
from diffclient.tensors.tensor_table import TensorSpec

Tensors = Sequence[tuple[TensorSpec, Stream]]
"""The touched tensors with their streams."""

_GAP_DETAILS = (2, 1, 0)
_ENOUGH = 300
"""Changed blocks from which on classes are tried."""
_STEPS = (0.5, 1.0)
"""Ratios of density between neighbouring classes that are tried, in octaves."""
_COUNT_BITS = 10
"""Approximate bits of a count in the records."""


@dataclass(frozen=True, eq=False)
class Plan:
    """One tensor's stream as the numbers that are coded, which are cut anew whenever they are needed."""

    spec: TensorSpec
    stream: Stream
    block: int
    classes: Classes | None
    roles: tuple[str, ...]
    """The content of each run of a chunk: gaps, patterns or values."""
    counts: tuple[int, ...]
    """As in `records.Layout`."""
    histograms: tuple[Counts, ...]
    """How often the tensor uses each range of the role, for each run of a chunk; never all 0."""

    def runs(self) -> Iterator[tuple[int, Integers]]:
        """Yield the runs of every chunk, class by class, each with its number in the chunk."""
        for chunk in cut(self.stream, self.spec.size, self.block, self.classes):
            yield from enumerate(run for piece in chunk for run in piece.runs)


@dataclass(frozen=True)
class Coding:
    """Plans and the codebooks for their runs."""

    plans: tuple[Plan, ...]
    books: tuple[Codebook, ...]
    book_numbers: tuple[tuple[int, ...], ...]
    """For each plan, the codebook of each of its runs by number."""
    bits: float
    """What the numbers take: the entropy of their ranges, and extra bits."""
    symbols: int
    """How many numbers there are."""

    def runs(self) -> Iterator[tuple[Codebook, Integers]]:
        """Yield every run that is not empty with its codebook, in the order in which they travel."""
        for plan, books in zip(self.plans, self.book_numbers, strict=True):
            for number, run in plan.runs():
                if len(run):
                    yield self.books[books[number]], run


def choose(tensors: Tensors) -> Coding:
    """Return the shortest coding found for the streams of these tensors."""
    ranges = _ranges(tensors)
    plans = tuple(_plan(stream, spec, ranges) for spec, stream in tensors)
    thrift = 1.0
    while len((coding := _with_books(plans, ranges, thrift)).books) > BOOK_LIMIT:
        thrift *= 4
    return coding


def _ranges(tensors: Tensors) -> dict[str, Ranges]:
    """Return the ranges for each role."""
    patterns = {
        f"patterns of {block}": fit_codebooks.finest(1, (1 << block) - 1) for block in range(2, BLOCK_LIMIT + 1)
    }
    return {"gaps": _gap_ranges(tensors), "values": _value_ranges(tensors), **patterns}


def _gap_ranges(tensors: Tensors) -> Ranges:
    candidates = [fit_codebooks.ranges(0, CHUNK, detail) for detail in _GAP_DETAILS]
    return fit_codebooks.suited(candidates, (gaps.clip(0, CHUNK) for gaps in _gaps(tensors)))


def _gaps(tensors: Tensors) -> Iterator[Integers]:
    for spec, stream in tensors:
        if isinstance(stream, Hashed):
            continue
        last = np.empty(0, np.int64)
        for start, stop in chunks(spec.size):
            places = stream.part(start, stop)[0] + start
            yield np.diff(places, prepend=last) - 1
            last = places[-1:] if len(places) else last


def _value_ranges(tensors: Tensors) -> Ranges:
    bounds = [(0, 0), *((int(values.min()), int(values.max())) for values in _values(tensors) if len(values))]
    low, high = min(least for least, _ in bounds), max(most for _, most in bounds)
    if any(isinstance(stream, Sparse) for _, stream in tensors):  # in contexts, signs are relative to the value before
        low, high = min(low, -high), max(high, -low)
    return fit_codebooks.suited(
        [fit_codebooks.finest(low, high), fit_codebooks.ranges(low, high, 0), fit_codebooks.single(low, high)],
        _values(tensors),
    )


def _values(tensors: Tensors) -> Iterator[Integers]:
    yield np.zeros(1, np.int64)  # in the dense form
    for spec, stream in tensors:
        if isinstance(stream, Hashed):
            yield numbers(stream)
        else:
            yield from (stream.part(*chunk)[1] for chunk in chunks(spec.size))


def _plan(stream: Stream, spec: TensorSpec, ranges: Mapping[str, Ranges]) -> Plan:
    """Return the plan whose blocks take the fewest bits."""
    if isinstance(stream, Hashed):
        return _cut(stream, spec, 1, None, ranges)

    best = _shortest([_cut(stream, spec, block, None, ranges) for block in _blocks(stream, spec)], ranges)
    candidates = (_cut(stream, spec, best.block, classes, ranges) for classes in _classes(stream, spec, best))
    return _shortest([best, *candidates], ranges)


def _shortest(plans: Sequence[Plan], ranges: Mapping[str, Ranges]) -> Plan:
    return plans[0] if len(plans) == 1 else min(plans, key=lambda plan: _bits(plan, ranges))


def _blocks(stream: Positioned, spec: TensorSpec) -> Iterator[int]:
    yield 1
    if isinstance(stream, Sparse) and spec.shape and 1 < spec.shape[-1] <= BLOCK_LIMIT:
        yield spec.shape[-1]


def _classes(stream: Positioned, spec: TensorSpec, plan: Plan) -> Iterator[Classes]:
    """Yield the classes that are tried for the blocks of a plan."""
    if sum(plan.counts) < _ENOUGH:
        return
    changed = block_classes.count(spec, plan.block, changed_blocks(stream, spec.size, plan.block))
    if changed and changed.rows.sum() >= _ENOUGH:
        yield from filter(None, (block_classes.fit(changed, step) for step in _STEPS))


def _cut(stream: Stream, spec: TensorSpec, block: int, classes: Classes | None, ranges: Mapping[str, Ranges]) -> Plan:
    roles = _roles(stream, block) * (classes.count if classes else 1)
    counts: list[int] = []
    histograms = tuple(np.zeros(len(ranges[role].bases), np.int64) for role in roles)
    for chunk in cut(stream, spec.size, block, classes):
        counts += (piece.count for piece in chunk)
        runs = (run for piece in chunk for run in piece.runs)
        for histogram, role, run in zip(histograms, roles, runs, strict=True):
            histogram += ranges[role].count(run)
    for histogram in histograms:
        histogram[0] += not histogram.any()
    return Plan(spec, stream, block, classes, roles, tuple(counts), histograms)


def _roles(stream: Stream, block: int) -> tuple[str, ...]:
    """Return the roles of the runs of one class."""
    if isinstance(stream, Hashed):
        return ("values",)
    return ("gaps", "values") if block == 1 else ("gaps", f"patterns of {block}", "values", "values", "values")


def _bits(plan: Plan, ranges: Mapping[str, Ranges]) -> float:
    """Return about how many bits a plan takes with codebooks of its own."""
    total = 0.0
    for role in set(plan.roles):
        histograms = [histogram for histogram, use in zip(plan.histograms, plan.roles, strict=True) if use == role]
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
    bits, symbols = 0.0, 0
    for role, within in ranges.items():
        places = [(index, run) for index, plan in enumerate(plans) for run, use in enumerate(plan.roles) if use == role]
        members, groups = fit_codebooks.cluster([plans[index].histograms[run] for index, run in places], thrift)
        numbers_by_run |= {place: len(books) + member for place, member in zip(places, members, strict=True)}
        books += [within.codebook(group) for group in groups]
        bits += sum(map(within.bits, groups))
        symbols += sum(int(group.sum()) for group in groups)
    book_numbers = tuple(
        tuple(numbers_by_run[index, run] for run in range(len(plan.roles))) for index, plan in enumerate(plans)
    )
    return Coding(plans, tuple(books), book_numbers, bits, symbols)
