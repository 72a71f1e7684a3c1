"""A payload as a diff: opened at once, decoded chunk by chunk.

Memory is taken only after the sizes that ask for it were checked against the table and the payload's own length, and
never for more than a chunk (in hashed, a tensor's buckets). Nothing but this package's errors leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffclient.diff.streams import Diff, Exact, Kind, Piece, Sparse, Stream, chunks, spread
from diffclient.errors import PayloadError
from diffclient.payload import frame as payload
from diffclient.payload import records
from diffclient.payload.frame import Frame
from diffclient.payload.read_runs import Sections
from diffclient.payload.records import Layout, Records
from diffclient.tensors.tensor_table import Table, TensorSpec


def decode(data: bytes, table: Table, parent_digest: str) -> Diff:
    """Return the diff in `data` for the parent with this table and digest (hex).

    Raises WrongParent if the payload starts from another version, PayloadTooNew if its format is younger than this
    client, PayloadError if it is anything but a whole payload.
    """
    return open_payload(data, table, parent_digest).diff()


def open_payload(data: bytes, table: Table, parent_digest: str) -> Payload:
    """Return a payload whose header and records were checked; raises what `decode` raises."""
    frame = payload.read(data, len(table), parent_digest)
    found = records.read(frame.records, frame.kind, table)
    if (frame.lanes > 0) != any(found.layouts):
        raise PayloadError("a payload has lanes if and only if it touches a tensor")
    return Payload(frame, found, table)


class Payload:
    """A `Source` that is decoded as it is read."""

    def __init__(self, frame: Frame, found: Records, table: Table) -> None:
        self._frame, self._records, self._table = frame, found, table
        self.kind: Kind = frame.kind
        self.alpha, self.beta = frame.alpha, frame.beta

    def touches(self, tensor: int) -> bool:
        """Whether tensor number `tensor` has a stream."""
        return self._records.layouts[tensor] is not None

    def pieces(self, table: Table) -> Iterator[Piece | None]:
        """Yield what each chunk changes by; raises PayloadError where the payload turns out to be wrong."""
        sections = Sections(self._frame, self._records.books)
        for index, (spec, layout) in enumerate(zip(table, self._records.layouts, strict=True)):
            if layout is None:
                yield from (None for _ in chunks(spec.size))
            elif self.kind == "hashed":
                yield from spread(sections.hashed(spec, layout), self._frame.seed, index, spec)
            else:
                for found in sections.positioned(spec, layout, self.kind):
                    yield found and Piece(found[0], found[1] * layout.step, layout.exponent)
        sections.finish()

    def diff(self) -> Diff:
        """Return all of it in memory; raises PayloadError."""
        sections = Sections(self._frame, self._records.books)
        streams = tuple(
            None if layout is None else self._stream(sections, spec, layout)
            for spec, layout in zip(self._table, self._records.layouts, strict=True)
        )
        sections.finish()
        return Diff(self.kind, streams, self.alpha, self.beta, self._frame.seed)

    def _stream(self, sections: Sections, spec: TensorSpec, layout: Layout) -> Stream:
        if self.kind == "hashed":
            return sections.hashed(spec, layout)
        places, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for (start, _), found in zip(chunks(spec.size), sections.positioned(spec, layout, self.kind), strict=True):
            if found is not None:
                positions = np.flatnonzero(found[1]) if found[0] is None else found[0]
                places.append(positions + start)
                numbers.append(found[1][found[1] != 0])
        if self.kind == "exact":
            return Exact(np.concatenate(places), np.concatenate(numbers))
        levels = np.concatenate(numbers).astype(np.int32)
        return Sparse(np.concatenate(places), levels, layout.step, layout.exponent)
