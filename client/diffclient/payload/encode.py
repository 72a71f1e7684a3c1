"""Encode diffs as payloads: every number by a codebook fitted to its tensor, close to the entropy.

The choice of blocks and codebooks is left to `choose_coding`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffclient.diff.streams import Computed, Diff, Exact, Hashed, Positions, Sparse, Stream, chunks, may_scale, numbers
from diffclient.errors import PayloadError
from diffclient.payload import bits, choose_coding, frame, own_alphas, rans, records
from diffclient.payload.bits import Fields, Widths
from diffclient.payload.choose_coding import Coding
from diffclient.payload.codebook import Integers
from diffclient.payload.read_runs import value_range
from diffclient.payload.records import Layout, Records
from diffclient.tensors.arithmetic import GRID_MAX, GRID_MIN, LIMIT, ONE
from diffclient.tensors.tensor_table import Table, TensorSpec, regridded

STREAMS = {"sparse": Sparse, "hashed": Hashed, "exact": Exact | Computed}

_SYMBOLS_A_LANE = 4000
"""Symbols for each lane: a lane costs three bytes, but with few lanes decoding is slow."""


def encode(diff: Diff, table: Table, parent_digest: str) -> bytes:
    """Return the payload of `diff`, which starts from the version `parent_digest` (hex).

    Raises PayloadError if the diff does not fit the table or the format.
    """
    coding, section = _chosen(diff, table)
    coded: list[rans.Run] = []
    extra_bits = [*bits.pack(_walk(coding, coded))]
    lanes = _lanes(coding, sum(len(run) for _, run in coded))
    parent = bytes.fromhex(parent_digest)[:8]
    header = frame.Header(_version(diff), diff.kind, parent, diff.alpha, diff.beta, diff.seed, len(table), lanes)
    return header.write(([section], rans.encode(coded, lanes), _drained(extra_bits)))


def payload_length(diff: Diff, table: Table) -> int:
    """Return the length of the diff's payload in bytes, which does not depend on the parent."""
    return len(encode(diff, table, "0" * 64))


def estimated_length(diff: Diff, table: Table) -> int:
    """Return the length of the diff's payload to about a thousandth, in half of the time: no bit of it is written."""
    coding, section = _chosen(diff, table)
    return frame.HEADER.size + len(section) + round(coding.bits / 8) + 3 * _lanes(coding, coding.symbols)


def _chosen(diff: Diff, table: Table) -> tuple[Coding, bytes]:
    """Return the shortest coding found, and the records that tell of it."""
    check(diff, table)
    touched = [(spec, stream) for spec, stream in zip(table, diff.streams, strict=True) if stream is not None]
    coding = choose_coding.choose(touched)
    return coding, records.write(_records(coding, diff), diff.kind, table, _version(diff))


def _lanes(coding: Coding, symbols: int) -> int:
    return min(rans.LANE_LIMIT, max(int(len(coding.plans) > 0), symbols // _SYMBOLS_A_LANE))


def _records(coding: Coding, diff: Diff) -> Records:
    plans = iter(zip(coding.plans, coding.book_numbers, strict=True))

    def layout(stream: Stream) -> Layout:
        plan, books = next(plans)
        if isinstance(stream, Sparse | Hashed):
            return Layout(plan.block, stream.step, stream.exponent, plan.classes, books, plan.counts)
        return Layout(plan.block, 1, None, plan.classes, books, plan.counts, stream.alpha)

    layouts = tuple(None if stream is None else layout(stream) for stream in diff.streams)
    return Records(coding.books, layouts, diff.grids)


def _version(diff: Diff) -> int:
    """Return the earliest format that has what the diff needs."""
    if any(isinstance(stream, Exact | Computed) and stream.alpha != ONE for stream in diff.streams):
        return frame.SCALED
    return frame.FREE if diff.grids or diff.nonfinite else frame.PLAIN


def _walk(coding: Coding, coded: list[rans.Run]) -> Iterator[tuple[Fields, Widths]]:
    """Append each run's symbols to `coded`, and yield its extra bits."""
    for book, run in coding.runs():
        symbols = book.symbols(run)
        coded.append((book, symbols))
        if book.has_extra_bits:
            yield (run - book.bases[symbols]).view(np.uint64), book.width_of[symbols]


def _drained(pieces: list[bytes]) -> Iterator[bytes]:
    """Yield pieces that are not held any more."""
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def check(diff: Diff, table: Table) -> None:
    """Raise PayloadError unless the diff fits the table and the format."""
    if len(diff.streams) != len(table):
        raise PayloadError(f"the diff has {len(diff.streams)} streams, the table {len(table)} tensors")
    _check_freedoms(diff, table)
    for spec, stream in zip(regridded(table, diff.grids), diff.streams, strict=True):
        if stream is None:
            continue
        if not isinstance(stream, STREAMS[diff.kind]) or not records.takes(diff.kind, spec):
            raise PayloadError(f"{spec.name}: not a {diff.kind} stream for a tensor that can have one")
        _check_numbers(spec, stream, diff)
        if isinstance(stream, Hashed):
            if not 0 < len(stream.levels) <= spec.size:
                raise PayloadError(f"{spec.name}: {len(stream.levels)} buckets for {spec.size} weights")
        elif not isinstance(stream, Computed):
            _check_positions(spec, stream.positions, numbers(stream))


def _check_freedoms(diff: Diff, table: Table) -> None:
    """Raise PayloadError unless the diff is exact, or keeps all grids and makes finite weights alone."""
    if (diff.grids or diff.nonfinite) and diff.kind != "exact":
        raise PayloadError(f"a {diff.kind} diff changes no grid, and makes only finite weights")
    for number, grid in diff.grids.items():
        spec = table[number]
        coarser = spec.grid is not None and (grid is None or GRID_MIN <= grid < spec.grid)
        if diff.streams[number] is None or not coarser:
            raise PayloadError(f"{spec.name}: a new grid is coarser, and for a tensor with a grid and a stream")


def _check_numbers(spec: TensorSpec, stream: Stream, diff: Diff) -> None:
    step = 1
    if isinstance(stream, Sparse | Hashed):
        step = stream.step
        if records.scales(diff.kind, spec) != (stream.exponent is not None):
            raise PayloadError(f"{spec.name}: an exponent is for F16 and BF16, and needed there")
        if not 0 < step <= LIMIT or not GRID_MIN <= (stream.exponent or 0) <= GRID_MAX:
            raise PayloadError(f"{spec.name}: step or exponent out of range")
    elif stream.alpha != ONE and not (may_scale(spec) and stream.alpha in range(0, ONE, own_alphas.UNIT)):
        raise PayloadError(f"{spec.name}: alpha is a whole number of sixteenths, up to 1, and for integers only")
    low, high = value_range(spec, diff.kind, step)
    parts = [numbers(stream)] if not isinstance(stream, Computed) else (stream.part(*c)[1] for c in chunks(spec.size))
    for values in parts:
        if len(values) and not low <= int(values.min()) <= int(values.max()) <= high:
            raise PayloadError(f"{spec.name}: a value is out of range")


def _check_positions(spec: TensorSpec, positions: Positions, values: Integers) -> None:
    if len(positions) != len(values) or not values.all():
        raise PayloadError(f"{spec.name}: every position needs one value other than 0")
    if len(positions) and (positions[0] < 0 or positions[-1] >= spec.size or np.any(np.diff(positions) <= 0)):
        raise PayloadError(f"{spec.name}: positions must rise strictly within the tensor")
