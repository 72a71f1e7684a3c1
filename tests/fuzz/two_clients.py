"""Apply the same payload with the client and with the reference, and compare the outcomes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffclient.diff.apply import apply
from diffclient.diff.apply_chunk import change, prepare
from diffclient.diff.streams import Source, chunks
from diffclient.errors import PayloadError, PayloadTooNew, RangeError, WrongParent
from diffclient.payload.decode import decode, open_payload
from diffclient.tensors.snapshot import DTYPES, Snapshot, Table, TensorSpec, digest, write_snapshot
from tests.reference import arithmetic, coding, decoder
from tests.reference.records import Tensor


class Made(NamedTuple):
    """A version that a client made."""

    digest: str
    weights: list[bytes]
    """Every tensor's bytes."""


Outcome = Made | str
"""A version, or the name of the error."""

ERRORS = (PayloadError, PayloadTooNew, WrongParent, RangeError)


def agree(client: Outcome, reference: Outcome) -> bool:
    """Tell whether outcomes agree; a client that applies as it reads may meet a bad weight before another error."""
    return client == reference or (client == "RangeError" and reference == "PayloadError")


def table_of(tensors: Sequence[Tensor]) -> Table:
    """The client's name for a table."""
    return tuple(TensorSpec(*tensor) for tensor in tensors)


class Parent:
    """A version as both clients hold it."""

    def __init__(self, tensors: Sequence[Tensor], weights: Sequence[bytes], folder: Path) -> None:
        self.tensors, self.weights, self.table = tensors, weights, table_of(tensors)
        self._folder = folder
        path = Path(tempfile.mkdtemp(dir=folder)) / "parent"
        arrays = [np.frombuffer(data, DTYPES[spec.dtype]).reshape(spec.shape) for spec, data in self._pairs()]
        self.digest = write_snapshot(path, self.table, arrays)
        self.snapshot = Snapshot(path)

    def streamed(self, payload: bytes) -> Outcome:
        """What the client makes of a payload, reading it piece by piece."""
        return self.applied(lambda: open_payload(payload, self.table, self.digest))

    def at_once(self, payload: bytes) -> Outcome:
        """What the client makes of a payload that it decodes as a whole first."""
        return self.applied(lambda: decode(payload, self.table, self.digest))

    def in_memory(self, payload: bytes) -> Outcome:
        """What comes of a payload that is read piece by piece, without a disk."""
        weights = [np.frombuffer(bytearray(data), DTYPES[spec.dtype]) for spec, data in self._pairs()]
        try:
            source = open_payload(payload, self.table, self.digest)
            pieces, table = source.pieces(self.table), source.table_after
            for index, (before, after) in enumerate(zip(self.table, table, strict=True)):
                for start, stop in chunks(before.size):
                    piece = next(pieces)
                    if source.touches(index):
                        prepare(weights[index][start:stop], before, after, source.first_scaled(index))
                        change(weights[index][start:stop], after, source, piece)
            assert next(pieces, self) is self, "more pieces than chunks"
        except ERRORS as error:
            return type(error).__name__
        made = [array.tobytes() for array in weights]
        return Made(digest(table, [hashlib.sha256(data).digest() for data in made]), made)

    def _pairs(self) -> Iterator[tuple[TensorSpec, bytes]]:
        return zip(self.table, self.weights, strict=True)

    def applied(self, source: Callable[[], Source]) -> Outcome:
        """What the client makes of a diff; an error that is none of the four leaves as it is."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            out = Path(folder) / "out"
            try:
                made = apply(self.snapshot, [source()], out)
            except ERRORS as error:
                return type(error).__name__
            result = Snapshot(out)
            assert result.digest() == made
            return Made(made, [result.read(spec.name).tobytes() for spec in result.table])

    def in_the_reference(self, payload: bytes) -> Outcome:
        """What the reference makes of a payload."""
        try:
            decoded = decoder.decode(payload, self.tensors, self.digest)
            weights = arithmetic.apply(decoded, self.tensors, self.weights)
            return Made(arithmetic.digest(decoded.table, weights), weights)
        except coding.Refused as error:
            return type(error).__name__
