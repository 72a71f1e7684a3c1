"""The tensor records of a payload: per tensor of the parent's table, how its values are coded.

Numbers are LEB128: seven bits a byte, the lowest first, in their shortest spelling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from diffclient import rice
from diffclient.arithmetic import LIMIT
from diffclient.buckets import POSITION_LIMIT
from diffclient.diff import Kind
from diffclient.errors import PayloadError
from diffclient.weights import Table


@dataclass(frozen=True)
class Record:
    """One tensor's entry: how many values it has (0: untouched), Rice parameter, step."""

    count: int
    rice: int = 0
    step: int = 0


def write(entries: Iterable[Record], kind: Kind) -> bytes:
    """Return the record section: count, Rice parameter (sparse only), step; a count of 0 stands alone."""
    out = bytearray()
    for record in entries:
        out += _varint(record.count)
        if record.count and kind == "sparse":
            out += _varint(record.rice)
        if record.count:
            out += _varint(record.step)
    return bytes(out)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read(section: bytes, table: Table, kind: Kind) -> list[Record]:
    """Return one record a tensor; raises PayloadError unless all fit and nothing is left over."""
    entries, at = [], 0
    for spec in table:
        count, at = _read_varint(section, at)
        if count == 0:
            entries.append(Record(0))
            continue
        if spec.grid is None or count > spec.size or spec.size > POSITION_LIMIT:
            raise PayloadError(f"{spec.name}: {count} values do not fit this tensor")
        r = 0
        if kind == "sparse":
            r, at = _read_varint(section, at)
        step, at = _read_varint(section, at)
        if r > rice.PARAMETER_LIMIT or not 0 < step <= LIMIT:
            raise PayloadError(f"{spec.name}: Rice parameter or step out of range")
        entries.append(Record(count, r, step))
    if at != len(section):
        raise PayloadError("bytes left over after the last tensor record")
    return entries


def _read_varint(section: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 42, 7):
        if at >= len(section):
            raise PayloadError("truncated: the tensor records end early")
        byte = section[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise PayloadError("a number has a longer spelling than it needs")
            return value, at
    raise PayloadError("a number in the tensor records is too long")
