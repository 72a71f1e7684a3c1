"""Apply a chain of diffs to a snapshot: one pass, chunk by chunk, no intermediate version.

A chunk is read, combined with every diff of the chain in turn, and handed to the writer, which hashes and
writes it while the next one is made; so memory is bounded by chunks. The snapshot is synced and digested;
comparing the digest with the expected one is left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffclient.diff.apply_chunk import change, prepare
from diffclient.diff.hashing_writer import Writer
from diffclient.diff.streams import CHUNK, Piece, Source, chunks
from diffclient.errors import RangeError
from diffclient.tensors.snapshot import Array, Snapshot, read_into
from diffclient.tensors.tensor_table import DTYPES, Table, digest, header_of, regridded


@dataclass(frozen=True)
class Step:
    """One diff of the chain, and the tables of the versions on both sides of it."""

    source: Source
    pieces: Iterator[Piece | None]
    before: Table
    after: Table


def apply(parent: Snapshot, chain: Sequence[Source], out: Path) -> str:
    """Apply the chain to `parent`, write the result as the new snapshot `out`, and return its digest.

    Raises RangeError if a weight leaves its grid or its dtype, PayloadError when decoding reaches an error of a
    payload, SnapshotError if the parent ends early, OSError as the file system does. The caller then removes the
    incomplete `out`.
    """
    steps = list(_steps(parent.table, chain))
    table = steps[-1].after if steps else parent.table
    with parent.open() as file, Writer(out, _room(table)) as writer:
        writer.head(header_of(table))
        for index, spec in enumerate(table):
            writer.begin()
            for start, stop in chunks(spec.size):
                memory = writer.room((stop - start) * DTYPES[spec.dtype].itemsize)
                read_into(file, memory)
                _combine(np.frombuffer(memory, DTYPES[spec.dtype]), steps, index)
                writer.put(memory)
        _finish(steps)
        return digest(table, writer.settle())


def _room(table: Table) -> int:
    """Return the bytes of the largest chunk."""
    return max((min(spec.nbytes, CHUNK * DTYPES[spec.dtype].itemsize) for spec in table), default=0)


def _steps(table: Table, chain: Sequence[Source]) -> Iterator[Step]:
    for source in chain:
        after = regridded(table, source.grids)
        yield Step(source, source.pieces(table), table, after)
        table = after


def _combine(weights: Array, steps: Sequence[Step], index: int) -> None:
    """Take each diff's next piece, and combine them all in turn with one chunk of tensor number `index`."""
    for step in steps:
        piece = next(step.pieces)
        if not step.source.touches(index):
            continue
        before, after = step.before[index], step.after[index]
        try:
            prepare(weights, before, after, step.source.first_scaled(index))
            change(weights, after, step.source, piece)
        except RangeError as error:
            raise RangeError(f"{after.name}: {error}") from error


def _finish(steps: Sequence[Step]) -> None:
    """Read every diff to its end, since a payload is checked only as it is decoded."""
    for step in steps:
        for _ in step.pieces:
            raise AssertionError("a diff has more pieces than its tensors have chunks")
