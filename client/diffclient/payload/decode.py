"""Decode payloads into diffs, chunk by chunk.

Memory is taken only after the sizes that ask for it were checked against the table and the payload's own length, and
never for more than a chunk (in hashed, a tensor's buckets). Only this package's errors are raised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffclient.diff.streams import Diff, Exact, Grids, Kind, Piece, Sparse, Stream, chunks, spread
from diffclient.errors import PayloadError
from diffclient.payload import frame, records
from diffclient.payload.frame import FREE, Frame
from diffclient.payload.read_runs import Sections
from diffclient.payload.records import Layout, Records
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.tensor_table import Table, TensorSpec, regridded


def decode(data: bytes, table: Table, parent_digest: str) -> Diff:
    """Return the diff in `data` for the parent with this table and digest (hex).

    Raises WrongParent if the payload starts from another version, PayloadTooNew if this client does not know its
    format version, PayloadError if it is not a whole payload.
    """
    return open_payload(data, table, parent_digest).diff()


def open_payload(data: bytes, table: Table, parent_digest: str) -> Payload:
    """Return a payload with checked header and records; raises like `decode`."""
    header = frame.read(data, len(table), parent_digest)
    payload_records = records.read(header.records, header.kind, table, header.version)
    if (header.lanes > 0) != any(payload_records.layouts):
        raise PayloadError("a payload has lanes if and only if it touches a tensor")
    return Payload(header, payload_records, table)


class Payload:
    """A `Source` that is decoded as it is read."""

    def __init__(self, frame: Frame, payload_records: Records, table: Table) -> None:
        self._frame, self._records = frame, payload_records
        self.kind: Kind = frame.kind
        self.alpha, self.beta = frame.alpha, frame.beta
        self.grids: Grids = payload_records.grids
        self.nonfinite = frame.version >= FREE
        self.table_after = regridded(table, self.grids)
        """The table of the version that the diff makes."""

    def touches(self, tensor: int) -> bool:
        """Tell whether tensor number `tensor` has a stream."""
        return self._records.layouts[tensor] is not None

    def first_scaled(self, tensor: int) -> int:
        """Return the 16.16 fixed-point factor by which exact scales a tensor's weights before it adds anything."""
        layout = self._records.layouts[tensor]
        return ONE if layout is None else layout.alpha

    def pieces(self, table: Table) -> Iterator[Piece | None]:
        """Yield each chunk's changes, None where it has none; raises PayloadError when decoding reaches an error."""
        sections = Sections(self._frame, self._records.books)
        for index, (spec, layout) in enumerate(zip(regridded(table, self.grids), self._records.layouts, strict=True)):
            if layout is None:
                yield from (None for _ in chunks(spec.size))
            elif self.kind == "hashed":
                yield from spread(sections.hashed(spec, layout), self._frame.seed, index, spec)
            else:
                for changes in sections.positioned(spec, layout, self.kind):
                    yield changes and Piece(changes[0], changes[1] * layout.step, layout.exponent)
        sections.finish()

    def diff(self) -> Diff:
        """Return the whole diff in memory; raises PayloadError."""
        sections = Sections(self._frame, self._records.books)
        streams = tuple(
            None if layout is None else self._stream(sections, spec, layout)
            for spec, layout in zip(self.table_after, self._records.layouts, strict=True)
        )
        sections.finish()
        return Diff(self.kind, streams, self.alpha, self.beta, self._frame.seed, self.grids, self.nonfinite)

    def _stream(self, sections: Sections, spec: TensorSpec, layout: Layout) -> Stream:
        if self.kind == "hashed":
            return sections.hashed(spec, layout)
        places, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for (start, _), changes in zip(chunks(spec.size), sections.positioned(spec, layout, self.kind), strict=True):
            if changes is not None:
                positions = np.flatnonzero(changes[1]) if changes[0] is None else changes[0]
                places.append(positions + start)
                numbers.append(changes[1][changes[1] != 0])
        if self.kind == "exact":
            return Exact(np.concatenate(places), np.concatenate(numbers), layout.alpha)
        levels = np.concatenate(numbers).astype(np.int32)
        return Sparse(np.concatenate(places), levels, layout.step, layout.exponent)
