"""Pack and unpack bit fields of varying width, most significant bit first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from diffclient.errors import PayloadError

Fields = npt.NDArray[np.uint64]
Widths = npt.NDArray[np.uint8]

_SPAN = 1 << 16
_WINDOW_BITS = 57  # the widest field that eight bytes hold wherever in the first byte it begins


def pack(parts: Iterable[tuple[Fields, Widths]]) -> Iterator[bytes]:
    """Yield the fields of all parts (uint64, widths of at most 63 bits) as bytes, in pieces, padded with zero bits."""
    begun = np.empty(0, np.uint8)
    for fields, widths in parts:
        for start in range(0, len(fields), _SPAN):
            unpacked = _unpacked(fields[start : start + _SPAN], widths[start : start + _SPAN].astype(np.int64))
            bits = np.concatenate((begun, unpacked))
            whole, begun = np.split(bits, [len(bits) & ~7])
            yield np.packbits(whole).tobytes()
    yield np.packbits(begun).tobytes()


def _unpacked(fields: Fields, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    ends = np.cumsum(widths)
    from_the_end = np.repeat(ends, widths) - np.arange(ends[-1]) - 1
    return ((np.repeat(fields, widths) >> from_the_end.astype(np.uint64)) & np.uint64(1)).astype(np.uint8)


class Reader:
    """A reader of the fields that `pack` packed."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._length = 8 * len(data)
        self._at = 0

    def take(self, widths: Widths) -> Fields:
        """Return one field of each width (uint64); raises PayloadError if the bits do not suffice."""
        ends = np.cumsum(widths, dtype=np.int64) + self._at
        if not len(ends):
            return np.empty(0, np.uint64)
        if ends[-1] > self._length:
            raise PayloadError("truncated: the extra bits end early")
        first, self._at = self._at >> 3, int(ends[-1])
        windows = _windows(self._data[first : (self._at >> 3) + 1])
        starts = ends - widths - 8 * first
        if int(widths.max()) <= _WINDOW_BITS:
            return _fields(windows, starts, widths)
        high = np.maximum(widths, 32) - np.uint8(32)
        low = widths - high
        return (_fields(windows, starts, high) << np.uint64(32)) | _fields(windows, starts + high, low)

    def finish(self) -> None:
        """Raise PayloadError unless nothing but zero bits of the last byte is left."""
        rest = self._length - self._at
        if rest >= 8 or (rest and self._data[-1] & (1 << rest) - 1):
            raise PayloadError("the extra bits do not end where the records say")


def _windows(data: memoryview) -> Fields:
    """Return every eight bytes that follow each other as one number; zeros follow the last."""
    padded = np.frombuffer(bytes(data) + bytes(8), np.uint8)
    return np.ndarray((len(data) + 1,), ">u8", padded.data, strides=(1,))


def _fields(windows: Fields, starts: npt.NDArray[np.int64], widths: Widths) -> Fields:
    shifted = windows[starts >> 3].astype(np.uint64) << (starts & 7).astype(np.uint64)
    # In two shifts, for a shift by all 64 bits is not defined.
    fields: Fields = (shifted >> np.uint64(1)) >> (np.uint64(63) - widths)
    return fields
