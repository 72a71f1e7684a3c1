"""Whether a table has a column for each field of a dataclass whose bounds are said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, String, Table

from diffclient.bounds import Allowed, Number, Text, allowed

MOST: dict[Any, int] = {Integer: 2**31 - 1, BigInteger: 2**63 - 1}
"""The largest number that a column takes on every database."""


def unkept(of: type, table: Table) -> list[str]:
    """The fields that the table cannot keep, and why."""
    return [f"{name}: {why}" for name, may in allowed(of).items() if (why := _unfit(may, table, name))]


def _unfit(may: Allowed, table: Table, name: str) -> str:
    if name not in table.columns:
        return "no column"
    column = table.columns[name]
    if column.type.python_type is not may.type:
        return f"{column.type.python_type.__name__}, not {may.type.__name__}"
    if column.nullable != may.nullable:
        return f"{'may' if column.nullable else 'must not'} be null"
    if isinstance(may.bound, Number) and may.bound.most > MOST.get(type(column.type), may.bound.most):
        return "too narrow"
    if isinstance(may.bound, Text) and isinstance(column.type, String) and column.type.length:
        return "too short" if column.type.length < may.bound.most else ""
    return ""
