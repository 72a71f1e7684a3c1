"""Functions of queries, the same on both databases: a hash of a text, whether a text begins with another, a column by
which no index is looked for, and rows of values as a table.

The hash is the leading 32 bits of SHA-256, in Python too, so that a query can choose rows by it without reading all of
them into the server. What is hashed is left to others.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from struct import Struct
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    String,
    Table,
    cast,
    column,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

NAME = "leading_bits"
_LEADING = Struct(">I")


def leading_bits_of(text: str) -> int:
    """Return a whole number below 2^32, as good as random, always the same for a text."""
    bits: int = _LEADING.unpack_from(sha256(text.encode()).digest())[0]
    return bits


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


class _Unsought(FunctionElement[str]):
    name = "unsought"
    type = String()
    inherit_cache = True


def unsought(column: Any) -> ColumnElement[str]:
    """Return a text's column that does not tell SQLite to take an index that begins with it.

    It keeps no statistics here, and would take that of all devices of a model before one of the few that are meant.
    """
    return _Unsought(column)


@compiles(_Unsought, "sqlite")
def _unsought_on_sqlite(element: _Unsought, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(_Unsought, "postgresql")
def _unsought_on_postgresql(element: _Unsought, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


def given_rows(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> FromClause:
    """Return rows, of which there is one at least, as a table with the columns of those names of another table.

    They are one parameter, however many they are: a statement that is executed once for each row would keep this
    process from answering anybody for longer.
    """
    dialect = session.get_bind().dialect
    types = {name: table.c[name].type for name in rows[0]}
    convert = {name: type_.dialect_impl(dialect).bind_processor(dialect) for name, type_ in types.items()}
    written = [{**row, **{name: to(row[name]) for name, to in convert.items() if to}} for row in rows]
    text = json.dumps(written, default=str)
    if dialect.name == "postgresql":
        columns = [column(name, type_) for name, type_ in types.items()]
        parsed = cast(literal(text, String), JSON)
        return func.json_to_recordset(parsed).table_valued(*columns).render_derived("given", with_types=True)
    row = func.json_each(text).table_valued("value").c.value
    read = (type_coerce(func.json_extract(row, f"$.{name}"), type_).label(name) for name, type_ in types.items())
    return select(*read).subquery("given")
