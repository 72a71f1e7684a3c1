"""What is told of changes: of all that processes remember, whatever changes it."""

from typing import Any

import pytest
from sqlalchemy import Engine, delete, inspect, select, update
from sqlalchemy.orm import Session

from diffserver.catalog.admin import device_changes
from diffserver.catalog.devices import enroll
from diffserver.storage import changes
from diffserver.storage.changes import KEPT, REMEMBERED, UNTOLD, News
from diffserver.storage.column_types import Base
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Attribute, Change, Channel, Device, Step, Token
from tests.server.conftest import Service, publish_chain

NOBODY_REMEMBERS = {
    "audit", "candidates", "changes", "events", "leases", "looks", "losses", "payloads", "reports", "saved_states",
    "shortcuts", "sign_ins", "tallies", "training_lines", "trainings", "workers"
}  # fmt: skip


def told(engine: Engine, after: int = 0) -> set[News]:
    with reading(engine) as session:
        return {news for _, news in changes.read(session, after, KEPT)}


def test_every_table_is_remembered_or_not() -> None:
    remembered = {str(table.__tablename__) for table in REMEMBERED}
    assert remembered | NOBODY_REMEMBERS == set(Base.metadata.tables)
    assert not remembered & NOBODY_REMEMBERS


@pytest.mark.parametrize("table", REMEMBERED, ids=lambda table: table.__name__)
def test_what_nobody_remembers_are_columns_that_are_there(table: type[Base]) -> None:
    columns = {attribute.key for attribute in inspect(table).column_attrs}
    assert REMEMBERED[table].besides < columns
    assert REMEMBERED[table].key in {None, *columns}


@pytest.fixture
def number(engine: Engine) -> int:
    """The last news of a model with two versions and a device with an attribute."""
    publish_chain(engine, 1)
    with writing(engine) as session:
        enroll(session, "speech", "kitchen", "stable", {"group": "pilots"})
    with reading(engine) as session:
        return changes.latest(session)


def token_news(engine: Engine) -> News:
    with reading(engine) as session:
        return News("token", session.scalars(select(Token.sha256)).one())


def test_an_enrolment_is_no_news(engine: Engine, number: int) -> None:
    with writing(engine) as session:
        enroll(session, "speech", "attic", "stable", {"group": "pilots"})
    assert told(engine, number) == set()


@pytest.mark.parametrize(
    ("name", "value", "is_news"),
    [("channel", "canary", True), ("name", "attic", False), ("digest", "0" * 64, False), ("stage", "download", False)],
)
def test_of_a_device_its_channel_is_news(engine: Engine, number: int, name: str, value: str, is_news: bool) -> None:
    with writing(engine) as session:
        session.add(Channel(model="speech", name="canary"))
    with reading(engine) as session:
        number = changes.latest(session)
    with writing(engine) as session:
        setattr(session.scalars(select(Device)).one(), name, value)
    assert told(engine, number) == ({token_news(engine)} if is_news else set())


@pytest.mark.parametrize("attributes", [{"group": "others"}, {"group": None}, {"region": "eu"}])
def test_of_a_device_its_attributes_are_news(engine: Engine, number: int, attributes: dict[str, str | None]) -> None:
    with writing(engine) as session:
        device_changes.change(session, session.scalars(select(Device.id)).one(), attributes=attributes)
    assert told(engine, number) == {token_news(engine)}


@pytest.mark.parametrize(
    ("statement", "news"),
    [
        (delete(Step).where(Step.from_digest.is_not(None)), {News("model", None)}),
        (update(Channel).values(digest=None), {News("model", None)}),
        (delete(Attribute), {News("token", None)}),
        (update(Device).values(stage="download"), {News("token", None)}),
        (update(Device).values(stage="download").execution_options(**UNTOLD), set()),
    ],
)
def test_a_statement_may_be_of_any_row(engine: Engine, number: int, statement: Any, news: set[News]) -> None:
    with writing(engine) as session:
        session.execute(statement)
    assert told(engine, number) == news


def test_news_of_what_was_rolled_back_are_not_told(engine: Engine, number: int) -> None:
    def fail(session: Session) -> None:
        session.execute(delete(Attribute))
        raise RuntimeError

    with pytest.raises(RuntimeError), writing(engine) as session:
        fail(session)
    assert told(engine, number) == set()


def test_old_news_go(engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT", 2)
    for _ in range(5):
        with writing(engine) as session:
            session.execute(delete(Attribute))
    with reading(engine) as session:
        latest = changes.latest(session)
        assert session.scalars(select(Change.id).order_by(Change.id)).all() == [latest - 1, latest]


def test_changes_over_rest_are_told(service: Service) -> None:
    service.publish_chain(1)
    with reading(service.engine) as session:
        number = changes.latest(session)
    service.operator.post("/v1/models/speech/channel", json={"version": 0})
    assert told(service.engine, number) == {News("model", "speech"), News("metadata", None)}
