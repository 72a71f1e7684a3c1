"""Ranges: which part of some bytes a request wants (RFC 9110), and whether it has them already. Pure."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(ValueError):
    """A range that begins behind the last byte."""


@dataclass(frozen=True)
class Span:
    """The bytes from `start` to before `stop` of `length`."""

    start: int
    stop: int
    length: int

    @property
    def content_range(self) -> str:
        """The value of a Content-Range header."""
        return f"bytes {self.start}-{self.stop - 1}/{self.length}"


def wanted(length: int, etag: str, range_header: str | None, if_range: str | None) -> Span | None:
    """The one part that is asked for; None for the whole. Raises Unsatisfiable.

    Several ranges, other units and malformed headers are ignored, as the standard allows; so is a range whose
    `If-Range` names other bytes than these.
    """
    match = _RANGE.fullmatch(range_header or "")
    if match is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        return _satisfiable(max(length - int(last), 0), length, length)
    if last and int(last) < int(first):
        return None
    return _satisfiable(int(first), min(int(last) + 1, length) if last else length, length)


def known(etag: str, if_none_match: str | None) -> bool:
    """Tell whether the caller has these bytes already; tags are compared weakly."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or etag in tags


def _satisfiable(start: int, stop: int, length: int) -> Span:
    if start >= length:
        raise Unsatisfiable(f"bytes */{length}")
    return Span(start, stop, length)
