"""The frame of a payload (`.ndiff`, docs/format.md): a fixed header and three sections.

The content of sections is left to `records`, `rans` and `bits`, assembly to `encode` and `decode`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate, pairwise

from diffclient.diff.streams import Kind
from diffclient.errors import PayloadError, PayloadTooNew, WrongParent
from diffclient.payload.rans import LANE_LIMIT
from diffclient.tensors.arithmetic import FACTOR_LIMIT, ONE

MAGIC = b"NDIF"
PLAIN, FREE, SCALED = 2, 3, 4
"""The formats: from FREE on, tensors may leave their grids, and weights off the grid need not be finite; in SCALED,
tensors have factors of their own.
"""

KINDS: dict[int, Kind] = {1: "sparse", 2: "hashed", 3: "exact"}
CODES = {kind: code for code, kind in KINDS.items()}
KNOWN: Mapping[int, Sequence[Kind]] = {PLAIN: tuple(KINDS.values()), FREE: ("exact",), SCALED: ("exact",)}
"""The kinds of each format."""

HEADER = struct.Struct("<4sBB8siiIIHIII")


@dataclass(frozen=True)
class Header:
    """A payload's header, but for the lengths of its sections."""

    version: int
    """The format."""
    kind: Kind
    parent: bytes
    """The first 8 bytes of the parent's digest."""
    alpha: int
    beta: int
    seed: int
    tensors: int
    lanes: int

    def write(self, sections: Iterable[Iterable[bytes | memoryview]]) -> bytes:
        """Return the payload's bytes; each of the three sections is given in pieces, none of which is held."""
        out = BytesIO(bytes(HEADER.size))
        ends = [out.seek(0, 2)]
        for pieces in sections:
            out.writelines(pieces)
            ends.append(out.tell())
        header = HEADER.pack(
            MAGIC, self.version, CODES[self.kind], self.parent, self.alpha, self.beta, self.seed, self.tensors,
            self.lanes, *(end - begin for begin, end in pairwise(ends)),
        )  # fmt: skip
        out.seek(0)
        out.write(header)
        return out.getvalue()


@dataclass(frozen=True)
class Frame(Header):
    """A payload's header and its sections."""

    records: memoryview
    symbols: memoryview
    extra_bits: memoryview


def begins(data: bytes) -> bool:
    """Tell whether data begins as a payload of any format does."""
    return data.startswith(MAGIC)


def read(data: bytes, tensors: int, parent_digest: str) -> Frame:
    """Split a payload for a table of `tensors` tensors and the parent with this digest (hex).

    Raises WrongParent, PayloadTooNew, PayloadError.
    """
    if len(data) < HEADER.size:
        raise PayloadError(f"truncated: {len(data)} bytes are less than a header")
    _, version, code, parent, alpha, beta, seed, count, lanes, *lengths = HEADER.unpack_from(data)
    if not begins(data):
        raise PayloadError("not a payload: it does not begin with NDIF")
    if KINDS.get(code) not in KNOWN.get(version, ()):
        formats = " and ".join(map(str, KNOWN))
        raise PayloadTooNew(f"format {version}, kind {code}: this client knows format {formats}; update it")
    if parent != bytes.fromhex(parent_digest)[:8]:
        raise WrongParent(f"the payload starts from {parent.hex()}…, not from {parent_digest[:16]}…")
    if count != tensors:
        raise PayloadError(f"the payload is for {count} tensors, the model has {tensors}")
    if len(data) != HEADER.size + sum(lengths):
        raise PayloadError(f"{len(data)} bytes where the header asks for {HEADER.size + sum(lengths)}")
    ends = list(accumulate(lengths, initial=HEADER.size))
    sections = (memoryview(data)[start:end] for start, end in pairwise(ends))
    frame = Frame(version, KINDS[code], parent, alpha, beta, seed, count, lanes, *sections)
    _check_factors(frame)
    return frame


def _check_factors(frame: Frame) -> None:
    if max(abs(frame.alpha), abs(frame.beta)) > FACTOR_LIMIT:
        raise PayloadError("alpha or beta is out of range")
    if frame.kind == "exact" and not frame.alpha == frame.beta == ONE:
        raise PayloadError("an exact payload has factors")
    if frame.kind != "hashed" and frame.seed:
        raise PayloadError(f"a {frame.kind} payload has a seed")
    if frame.lanes > LANE_LIMIT:
        raise PayloadError(f"{frame.lanes} lanes; at most {LANE_LIMIT} are allowed")
