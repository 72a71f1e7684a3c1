"""Mutate payloads so that lengths still fit and records still decompress."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import zstandard

from tests.reference.records import HEADER
from tests.reference.writer import frame

LARGEST_CONTENT = 1 << 16
Mutate = Callable[[bytes, int], bytes]
"""The fuzzer's own mutation: bytes and the most that may come back."""

FIELDS = ((14, "<i"), (18, "<i"), (22, "<I"), (26, "<I"), (30, "<H"), (5, "<B"), (4, "<B"))
"""Offset and format of what is drawn anew in a header: alpha, beta, seed, tensors, lanes, kind, format."""
TEMPTING = (0, 1, 2, 3, 65535, 65536, 1 << 20, -(1 << 20), (1 << 31) - 1, 4096, 4097)


def mutate(payload: bytes, room: int, seed: int, mutation: Mutate) -> bytes:
    """Return a payload with one part changed, at most `room` bytes long; other bytes are changed anywhere."""
    chance = random.Random(seed)
    parts = cut(payload)
    if parts is None or chance.random() < 0.1:
        return mutation(payload, room)
    header, sections = parts
    which = chance.choice(["records", "records", "records", "symbols", "bits", "lanes", "header"])
    if which == "header":
        header = with_field(header, *chance.choice(FIELDS), chance)
    elif which == "lanes":
        header, sections[1] = other_lanes(header, sections[1], chance)
    elif which == "records":
        sections[0] = frame(mutation(content(sections[0]), LARGEST_CONTENT))
    else:
        number = 1 if which == "symbols" else 2
        sections[number] = mutation(sections[number], room)
    lengths = struct.pack("<3I", *map(len, sections))
    return b"".join((header[:32], lengths, *sections))[:room]


def cut(payload: bytes) -> tuple[bytes, list[bytes]] | None:
    """Return header and sections; None if the input is no payload."""
    if len(payload) < HEADER.size:
        return None
    *_, records, symbols, bits = HEADER.unpack_from(payload)
    if HEADER.size + records + symbols + bits != len(payload):
        return None
    first, second = HEADER.size + records, HEADER.size + records + symbols
    return payload[: HEADER.size], [payload[HEADER.size : first], payload[first:second], payload[second:]]


def content(records: bytes) -> bytes:
    """Return a frame's content; of a broken frame, its bytes."""
    try:
        if zstandard.get_frame_parameters(records).content_size <= LARGEST_CONTENT:
            return zstandard.ZstdDecompressor().decompress(records)
    except zstandard.ZstdError:
        pass
    return records[:LARGEST_CONTENT]


def with_field(header: bytes, offset: int, code: str, chance: random.Random) -> bytes:
    """A header with another value in one field."""
    size = struct.calcsize(code)
    value = chance.choice(TEMPTING) if chance.random() < 0.7 else chance.getrandbits(32)
    return header[:offset] + (value & (1 << 8 * size) - 1).to_bytes(size, "little") + header[offset + size :]


def other_lanes(header: bytes, symbols: bytes, chance: random.Random) -> tuple[bytes, bytes]:
    """Some lanes more or less, with states for all of them."""
    (old,) = struct.unpack_from("<H", header, 30)
    new = max(0, min(4096, old + chance.choice([-1, 1, -old, 1 - old, 7, 60])))
    states = symbols[: 4 * min(old, new)] + b"\0\0\1\0" * max(0, new - old)
    return header[:30] + struct.pack("<H", new) + header[32:], states + symbols[4 * old :]
