"""Rows of values as a table inside a statement: one parameter, however many they are.

A statement that is executed once for each row keeps this process from answering anybody for longer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, FromClause, String, Table, cast, column, func, literal, select, type_coerce
from sqlalchemy.orm import Session


def given_rows(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> FromClause:
    """Return rows, of which there is one at least, as a table with the columns of those names of another table."""
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
