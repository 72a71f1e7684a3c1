from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from sqlalchemy import Engine, Table, select

from diffserver.storage.database import reading
from diffserver.storage.functions import given_rows
from diffserver.storage.tables import Device

MOMENT = datetime(2026, 11, 27, 8, 0, 0, 120_003, UTC)
ROWS: list[dict[str, Any]] = [
    {"id": "0a", "client": "O'Neill's \"client\" \\ %s :id {} \u2028", "boot": None, "last_seen": MOMENT},
    {"id": "0b", "client": "", "boot": "null", "last_seen": MOMENT.astimezone(timezone(timedelta(hours=-8)))},
    {"id": "0c", "client": "1e3", "boot": "007", "last_seen": None},
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS * 2000], ids=len)
def test_rows_come_back_as_their_columns_have_them(engine: Engine, rows: list[Mapping[str, Any]]) -> None:
    with reading(engine) as session:
        given = given_rows(session, cast(Table, Device.__table__), rows)
        assert [dict(row) for row in session.execute(select(given)).mappings()] == rows
