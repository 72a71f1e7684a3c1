"""Column types that SQLite and PostgreSQL store alike, and the names of constraints.

The tables themselves are left to `tables`.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, MetaData, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, mapped_column

from diffclient.plain_text import plain

PROSE = 4000
"""The most characters that are kept of what others say."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def utc_now() -> datetime:
    """Return this process's time, aware and in UTC."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """The column type of aware times in UTC; SQLite stores them without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert an aware time to UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return a stored time as aware and in UTC."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Prose(TypeDecorator[str]):
    """The text of an error or a progress line: stored as one printable line of bounded length.

    Neither database stores every string: no lone surrogates, and PostgreSQL no NUL.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Make it plain."""
        return value and plain(value, PROSE)


def digest_column(**options: Any) -> Any:
    """Return the column of a SHA-256 in lower-case hex."""
    return mapped_column(String(64), **options)


def length_column(**options: Any) -> Any:
    """Return the column of a length in bytes."""
    return mapped_column(BigInteger, **options)


class Base(DeclarativeBase):
    """The base class of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012
        str: Text,
        float: Double,
        datetime: Moment,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
    }
