"""Functions of queries, the same on both databases: a hash of a text, and whether a text begins with another.

The hash is the leading 32 bits of SHA-256, in Python too, so that a query can choose rows by it without reading all of
them into the server. What is hashed is left to others.
"""

import hashlib
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement
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


LAST = chr(0x10FFFF)
"""Sorts behind all that is typed."""


class _Begins(FunctionElement[bool]):
    name = "begins"
    type = Boolean()
    inherit_cache = True


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Tell whether a column's text begins with another."""
    return _Begins(column, text, text + LAST)


@compiles(_Begins, "sqlite")
def _begins_on_sqlite(element: _Begins, compiler: Any, **options: Any) -> str:
    column, low, high = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} >= {low} AND {column} < {high})"


@compiles(_Begins, "postgresql")
def _begins_on_postgresql(element: _Begins, compiler: Any, **options: Any) -> str:
    # By bytes, as indexes of `text_pattern_ops` have it, whatever the database's language.
    column, low, high = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} ~>=~ {low} AND {column} ~<~ {high})"
