"""A diff as bytes (`.ndiff`, docs/format.md): a fixed header, tensor records, positions, values.

No tensor names travel: the parent's table orders the records. `decode` takes memory only after the
sizes that ask for it were checked against the table and the payload's own length, and raises nothing
but this package's errors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import zstandard

from diffclient import records, rice
from diffclient.arithmetic import FACTOR_LIMIT, LIMIT
from diffclient.diff import Diff, Hashed, Kind, Sparse, Stream
from diffclient.errors import PayloadError, PayloadTooNew, WrongParent
from diffclient.records import Record
from diffclient.weights import Table

MAGIC = b"NDIF"
VERSION = 1
KINDS: dict[int, Kind] = {1: "sparse", 2: "hashed"}
CODES = {kind: code for code, kind in KINDS.items()}
LEVEL_LIMITS: dict[Kind, int] = {"sparse": 128, "hashed": 127}
HEADER = struct.Struct("<4sBB8siiIIIIII")
ZSTD_LEVEL = 19

_NOTHING: rice.Bits = np.empty(0, np.uint8)


def encode(diff: Diff, table: Table, parent_digest: str) -> bytes:
    """Return the payload of `diff`, which starts from the version `parent_digest` (hex).

    Raises PayloadError if the diff does not fit the table or the format.
    """
    _check_diff(diff, table)
    entries: list[Record] = []
    unary: list[rice.Bits] = [_NOTHING]
    rest: list[rice.Bits] = [_NOTHING]
    symbols: list[rice.Bits] = [_NOTHING]
    for stream in diff.streams:
        if stream is None or len(stream.levels) == 0:
            entries.append(Record(0))
            continue
        r = 0
        if isinstance(stream, Sparse):
            gaps = np.diff(stream.positions, prepend=-1) - 1
            r = rice.parameter(gaps)
            for column, bits in zip((unary, rest), rice.encode(gaps, r), strict=True):
                column.append(bits)
        entries.append(Record(len(stream.levels), r, stream.step))
        symbols.append(_symbols(stream))
    sections = (
        records.write(entries, diff.kind),
        np.packbits(np.concatenate(unary)).tobytes(),
        np.packbits(np.concatenate(rest)).tobytes(),
        _compress(np.concatenate(symbols).tobytes()),
    )
    header = HEADER.pack(
        MAGIC, VERSION, CODES[diff.kind], bytes.fromhex(parent_digest)[:8], diff.alpha, diff.beta, diff.seed,
        len(table), *map(len, sections),
    )  # fmt: skip
    return header + b"".join(sections)


def decode(data: bytes, table: Table, parent_digest: str) -> Diff:
    """Return the diff in `data` for the parent with this table and digest (hex).

    Raises WrongParent if the payload starts from another version, PayloadTooNew if its format is
    younger than this client, PayloadError if it is anything but a whole, canonical payload.
    """
    kind, alpha, beta, seed, sections = _read_header(data, len(table), parent_digest)
    entries = records.read(sections[0], table, kind)
    total = sum(record.count for record in entries)
    symbols = np.frombuffer(_decompress(sections[3], total), np.uint8)
    if kind == "sparse":
        streams: Iterator[Stream] = _sparse_streams(entries, table, sections[1], sections[2], symbols)
    else:
        if sections[1] or sections[2]:
            raise PayloadError("a hashed payload carries positions")
        streams = _hashed_streams(entries, symbols)
    found = [next(streams) if record.count else None for record in entries]
    return Diff(kind, tuple(found), alpha, beta, seed)


def _check_diff(diff: Diff, table: Table) -> None:
    expected = Sparse if diff.kind == "sparse" else Hashed
    if len(diff.streams) != len(table):
        raise PayloadError(f"the diff has {len(diff.streams)} streams, the table {len(table)} tensors")
    for spec, stream in zip(table, diff.streams, strict=True):
        if stream is None:
            continue
        if not isinstance(stream, expected) or spec.grid is None:
            raise PayloadError(f"{spec.name}: not a {diff.kind} stream for a tensor on the grid")
        largest = int(np.max(np.abs(stream.levels.astype(np.int64)), initial=0))
        if largest > LEVEL_LIMITS[diff.kind] or not 0 < stream.step <= LIMIT or largest * stream.step > 2 * LIMIT:
            raise PayloadError(f"{spec.name}: levels or step out of range")
        if isinstance(stream, Sparse):
            _check_positions(spec.name, spec.size, stream)


def _check_positions(name: str, size: int, stream: Sparse) -> None:
    positions = stream.positions
    if len(positions) != len(stream.levels) or not np.all(stream.levels):
        raise PayloadError(f"{name}: every position needs one level other than 0")
    if len(positions) and (positions[0] < 0 or positions[-1] >= size or np.any(np.diff(positions) <= 0)):
        raise PayloadError(f"{name}: positions must rise strictly within the tensor")


def _symbols(stream: Stream) -> npt.NDArray[np.uint8]:
    # Zigzag; a sparse stream has no zero level, so all its magnitudes move down by one.
    levels = stream.levels.astype(np.int32)
    skip = 1 if isinstance(stream, Sparse) else 0
    return (2 * (np.abs(levels) - skip) + (levels < 0)).astype(np.uint8)


def _levels(symbols: npt.NDArray[np.uint8], skip: int) -> npt.NDArray[np.int16]:
    magnitude = (symbols >> 1).astype(np.int16) + np.int16(skip)
    return np.where(symbols & 1, -magnitude, magnitude)


def _read_header(
    data: bytes, tensors: int, parent_digest: str
) -> tuple[Kind, int, int, int, tuple[bytes, bytes, bytes, bytes]]:
    if len(data) < HEADER.size:
        raise PayloadError(f"truncated: {len(data)} bytes are less than a header")
    magic, version, code, parent, alpha, beta, seed, count, *lengths = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise PayloadError("not a payload: it does not begin with NDIF")
    if version != VERSION or code not in KINDS:
        raise PayloadTooNew(f"format {version}, kind {code}: this client knows format {VERSION}; update it")
    if parent != bytes.fromhex(parent_digest)[:8]:
        raise WrongParent(f"the payload starts from {parent.hex()}…, not from {parent_digest[:16]}…")
    if count != tensors:
        raise PayloadError(f"the payload is for {count} tensors, the model has {tensors}")
    if max(abs(alpha), abs(beta)) > FACTOR_LIMIT:
        raise PayloadError("alpha or beta is out of range")
    if len(data) != HEADER.size + sum(lengths):
        raise PayloadError(f"{len(data)} bytes where the header asks for {HEADER.size + sum(lengths)}")
    ends = np.cumsum([HEADER.size, *lengths]).tolist()
    first, second, third, fourth = (data[start:end] for start, end in pairwise(ends))
    return KINDS[code], alpha, beta, seed, (first, second, third, fourth)


def _sparse_streams(
    entries: list[Record], table: Table, unary: bytes, rest: bytes, symbols: npt.NDArray[np.uint8]
) -> Iterator[Sparse]:
    total = sum(record.count for record in entries)
    zeros = sum(spec.size >> record.rice for spec, record in zip(table, entries, strict=True) if record.count)
    if len(unary) * 8 > total + zeros + 7:
        raise PayloadError("the unary stream is longer than the tensors allow")
    quotients = rice.quotients(_unpack(unary, None))
    if len(quotients) != total:
        raise PayloadError(f"{len(quotients)} positions for {total} values")
    bits = _unpack(rest, sum(record.count * record.rice for record in entries))
    at = bit = 0
    for spec, record in zip(table, entries, strict=True):
        if not record.count:
            continue
        end, bit_end = at + record.count, bit + record.count * record.rice
        low = rice.remainders(bits[bit:bit_end], record.count, record.rice)
        if int(quotients[at:end].max()) > spec.size >> record.rice:
            raise PayloadError(f"{spec.name}: a position lies outside the tensor")
        positions = np.cumsum((quotients[at:end] << record.rice) + low + 1) - 1
        if int(positions[-1]) >= spec.size:
            raise PayloadError(f"{spec.name}: a position lies outside the tensor")
        yield Sparse(positions, _checked(symbols[at:end], 1, record.step), record.step)
        at, bit = end, bit_end


def _hashed_streams(entries: list[Record], symbols: npt.NDArray[np.uint8]) -> Iterator[Hashed]:
    at = 0
    for record in entries:
        if record.count:
            end = at + record.count
            yield Hashed(_checked(symbols[at:end], 0, record.step), record.step)
            at = end


def _checked(symbols: npt.NDArray[np.uint8], skip: int, step: int) -> npt.NDArray[np.int16]:
    levels = _levels(symbols, skip)
    if int(np.abs(levels).max()) * step > 2 * LIMIT:
        raise PayloadError("a value is larger than any weight")
    return levels


def _unpack(packed: bytes, expected: int | None) -> npt.NDArray[np.uint8]:
    """Return the bits of `packed`; `expected` bits and zero padding, or up to the last one."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    if expected is None:
        expected = int(bits.size - np.argmax(bits[::-1])) if bits.any() else 0
    if len(packed) != (expected + 7) // 8 or bits[expected:].any():
        raise PayloadError("a bit stream has the wrong length or padding")
    return bits[:expected]


def _compress(data: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False, write_content_size=True)
    return compressor.compress(data)


def _decompress(data: bytes, expected: int) -> bytes:
    try:
        if zstandard.frame_content_size(data) != expected:
            raise PayloadError(f"the value stream does not declare {expected} values")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise PayloadError(f"the value stream cannot be decompressed: {error}") from error
