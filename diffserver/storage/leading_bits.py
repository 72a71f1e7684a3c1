"""The leading 32 bits of a text's SHA-256, in Python and as a function of both databases.

So a query can choose rows by a hash without reading all of them into the server. What is hashed is left to others.
"""

import hashlib
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

NAME = "leading_bits"


def leading_bits_of(text: str) -> int:
    """Return a whole number below 2^32, as good as random, always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


class LeadingBits(FunctionElement[int]):
    """The same of a column's text, in a query."""

    name = NAME
    type = BigInteger()
    inherit_cache = True


@compiles(LeadingBits, "sqlite")
def _on_sqlite(element: LeadingBits, compiler: Any, **options: Any) -> str:
    return f"{NAME}({compiler.process(element.clauses, **options)})"


@compiles(LeadingBits, "postgresql")
def _on_postgresql(element: LeadingBits, compiler: Any, **options: Any) -> str:
    digest = f"sha256(convert_to({compiler.process(element.clauses, **options)}, 'UTF8'))"
    return f"CAST(CAST('x' || left(encode({digest}, 'hex'), 8) AS bit(32)) AS bigint)"
