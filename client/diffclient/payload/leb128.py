"""Write and read whole numbers as LEB128: seven bits a byte, lowest first, shortest form; signed ones as zigzag."""

from __future__ import annotations

from collections.abc import Iterable

from diffclient.errors import PayloadError

BIT_LIMIT = 64


def zigzag(number: int) -> int:
    """Return 0, 1, 2, 3, 4 … for 0, -1, 1, -2, 2 …"""
    return 2 * number if number >= 0 else -2 * number - 1


def write(numbers: Iterable[int]) -> bytes:
    """Return the bytes of the numbers, none of which may be negative."""
    out = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


class Reader:
    """A reader of the numbers that `write` wrote; `what` names the number in errors."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, name: str, least: int, most: int) -> int:
        """Return the next number; raises PayloadError unless it lies between `least` and `most`."""
        number = self._next()
        if not least <= number <= most:
            raise PayloadError(f"{name}: {number} is not between {least} and {most}")
        return number

    def take_signed(self, name: str, least: int, most: int) -> int:
        """Return the next number, which was written as zigzag; raises PayloadError as `take` does."""
        number = self._next()
        number = -(number // 2) - 1 if number & 1 else number // 2
        if not least <= number <= most:
            raise PayloadError(f"{name}: {number} is not between {least} and {most}")
        return number

    def finish(self) -> None:
        """Raise PayloadError unless the numbers end here."""
        if self._at != len(self._data):
            raise PayloadError("bytes left over after the last record")

    def _next(self) -> int:
        number = shift = 0
        while self._at < len(self._data):
            byte = self._data[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or number >> BIT_LIMIT:
                    raise PayloadError("a number in the records is too long or has a shorter spelling")
                return number
            shift += 7
            if shift > BIT_LIMIT:
                raise PayloadError("a number in the records is too long")
        raise PayloadError("truncated: the records end early")
