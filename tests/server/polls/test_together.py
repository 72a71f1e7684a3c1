from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from diffserver.errors import Busy, Conflict
from diffserver.polls import together
from diffserver.polls.together import Together
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading
from diffserver.storage.tables import Lease


class Leases:
    """Leases written together, the first of them once it may go on; "bad" cannot be written."""

    def __init__(self, engine: Engine) -> None:
        self.batches: list[list[str]] = []
        self.go_on = threading.Event()
        self.together: Together[str, str] = Together(engine, self._write, lambda: 7)

    def _write(self, session: Session, names: Sequence[str]) -> list[str | Exception]:
        self.go_on.wait()
        self.batches.append(list(names))
        session.add_all(Lease(name=name, holder="", until=utc_now()) for name in names)
        session.flush()
        if "bad" in names:
            raise Conflict("bad", "be good")
        return [Conflict(name, "be good") if name == "unwelcome" else f"{name} is written" for name in names]

    async def add(self, names: Sequence[str]) -> list[str | BaseException]:
        """Add the first, and the others once it is at work."""
        first = asyncio.create_task(self.together.add(names[0]))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(self.together.add(name)) for name in names[1:]]
        await asyncio.sleep(0.1)
        self.go_on.set()
        return await asyncio.gather(first, *others, return_exceptions=True)


@pytest.fixture
def leases(engine: Engine) -> Leases:
    return Leases(engine)


def written(engine: Engine) -> set[str]:
    with reading(engine) as session:
        return set(session.scalars(select(Lease.name)))


def test_what_comes_meanwhile_shares_a_transaction(engine: Engine, leases: Leases) -> None:
    assert asyncio.run(leases.add(["a", "b", "c", "d"])) == [f"{name} is written" for name in "abcd"]
    assert leases.batches == [["a"], ["b", "c", "d"]]
    assert written(engine) == set("abcd")


def test_nobody_fails_for_anothers_sake(engine: Engine, leases: Leases) -> None:
    first, second, bad, unwelcome = asyncio.run(leases.add(["a", "b", "bad", "unwelcome"]))
    assert (first, second) == ("a is written", "b is written")
    assert isinstance(bad, Conflict)
    assert isinstance(unwelcome, Conflict)
    assert written(engine) == {"a", "b", "unwelcome"}


def test_too_many_are_told_when_to_come_back(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST_WAITING", 2)
    *rest, last = asyncio.run(leases.add(["a", "b", "c", "d"]))
    assert rest == [f"{name} is written" for name in "abc"]
    assert isinstance(last, Busy)
    assert last.retry_after == 7
