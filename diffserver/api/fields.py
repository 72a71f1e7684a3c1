"""Fields: what the API accepts as a digest, a name, a text, a number."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, Field, StringConstraints

from diffclient.strict_json import printable

DIGEST = "4f0c2e7a" * 8
PATTERN_DIGEST = r"^[0-9a-f]{64}$"
PATTERN_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
INT32 = 2**31 - 1


def require_printable(text: str) -> str:
    """Return a text; raises ValueError on characters that PostgreSQL does not store or a terminal would obey."""
    if not printable(text):
        raise ValueError("control characters are not allowed")
    return text


Digest = Annotated[str, StringConstraints(pattern=PATTERN_DIGEST)]
Name = Annotated[str, StringConstraints(pattern=PATTERN_NAME)]
Folder = Annotated[str, StringConstraints(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,99}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(require_printable)]
Prose = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(require_printable)]
Count = Annotated[int, Field(ge=0, le=INT32)]

ModelName = Annotated[str, Path(pattern=PATTERN_NAME, description="The model's name.", examples=["speech"])]
RowId = Annotated[int, Path(ge=1, le=INT32, examples=[1])]
