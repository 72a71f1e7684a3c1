"""Fields: what the API accepts as a digest, a name, a text, a number, a moment.

Free text is stored as one printable line; what has to stay as it was sent is refused if it does not print. Names that
people give are the affair of `catalog.names`.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from diffclient.plain_text import plain

DIGEST = "4f0c2e7a" * 8
PATTERN_DIGEST = r"^[0-9a-f]{64}$"
PATTERN_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
INT32 = 2**31 - 1
LINE = 200
"""The most characters of a short text."""

YEARS = range(1971, 9998)
"""Moments in these can be brought to any zone."""


def _exact(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only printable characters are allowed")
    return text


def as_line(text: str, least: int, most: int) -> str:
    """Return a text as one printable line; one that must not be empty and is all blanks was said, too."""
    return plain(text, most) or "?" * least


_line = partial(as_line, least=1, most=LINE)


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a time in ISO 8601 is needed")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None or moment.year not in YEARS:
        raise ValueError("a time with a zone, in this age, is needed")
    return moment.astimezone(UTC)


Digest = Annotated[str, StringConstraints(pattern=PATTERN_DIGEST)]
Name = Annotated[str, StringConstraints(pattern=PATTERN_NAME)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,39}$")]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
StageText = Annotated[str, StringConstraints(min_length=1, max_length=LINE)]
GivenName = Annotated[str, StringConstraints(min_length=1, max_length=LINE)]
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=LINE), AfterValidator(partial(as_line, least=1, most=LINE))
]
Exact = Annotated[str, StringConstraints(min_length=1, max_length=LINE), AfterValidator(_exact)]
Folder = Annotated[str, StringConstraints(pattern=r"^/", max_length=4096), AfterValidator(_exact)]
Count = Annotated[int, Field(ge=0, le=INT32)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
AttributeValue = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_exact)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=LINE)]

ModelName = Annotated[str, Path(pattern=PATTERN_NAME, description="The model's name.", examples=["speech"])]
ChannelName = Annotated[str, Path(pattern=PATTERN_NAME, description="The channel's name.", examples=["stable"])]
DeviceId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", examples=["0199a7c41d5e3f0a9b8c7d6e"])]
VersionNumber = Annotated[int, Path(ge=0, le=INT32, examples=[1])]
RowId = Annotated[int, Path(ge=1, le=INT32, examples=[1])]
