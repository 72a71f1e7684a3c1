from typing import Any

import pytest
from sqlalchemy import Engine, select

from diffclient.network.holding import Holding
from diffserver.errors import NoPath
from diffserver.rollouts import book
from diffserver.rollouts.answer import answer as find_answer
from diffserver.rollouts.book import Answer
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Channel, Device, Model
from tests.server import factories
from tests.server.catalog.test_devices import enroll, remember, seen, statements
from tests.server.conftest import publish_chain, record, release


def answer(engine: Engine, device: Device, digest: str | None, *rest: Any, previous: str | None = None) -> Answer:
    with reading(engine) as session:
        return find_answer(session, device, Holding(digest, previous), *rest)


def test_before_anything_is_published_there_is_nothing_to_do(engine: Engine) -> None:
    record(engine, factories.base())
    assert answer(engine, enroll(engine), None) == Answer(None, None)


@pytest.mark.parametrize(
    ("held", "path"),
    [
        pytest.param("v3", [], id="up to date"),
        pytest.param("v2", ["3.from.2"], id="one behind"),
        pytest.param("v0", ["1.from.0", "2.from.1", "3.from.2"], id="three behind"),
        pytest.param(None, ["3.snapshot"], id="new"),
        pytest.param("someone else's", ["3.snapshot"], id="unknown"),
    ],
)
def test_the_answer_leads_to_the_channels_version(engine: Engine, held: str | None, path: list[str]) -> None:
    publish_chain(engine, 3)
    found = answer(engine, enroll(engine), held and factories.digest(held))
    assert (found.number, found.digest) == (3, factories.digest("v3"))
    assert list(found.steps) == [f"speech/v0/{step}" for step in path]


def test_a_channel_that_moved_back_takes_its_devices_with_it(engine: Engine) -> None:
    publish_chain(engine, 2)
    device = enroll(engine)
    with writing(engine) as session:
        session.get_one(Channel, ("speech", "stable")).digest = factories.digest("v1")
    found = answer(engine, device, factories.digest("v2"))
    assert found.steps == ("speech/v0/1.snapshot",)


def test_an_idle_poll_costs_two_reads_and_one_write_a_minute(engine: Engine) -> None:
    publish_chain(engine, 3)
    device, held = enroll(engine), factories.digest("v3")
    with statements(engine) as sent:
        answer(engine, device, held)
        remember(engine, device, "v3", "diffclient/0.1.0")
    assert [word for word in sent if word != "BEGIN"] == ["SELECT", "UPDATE"]
    device = seen(engine, device)
    assert (device.digest, device.client) == (held, "diffclient/0.1.0")
    with statements(engine) as sent:
        answer(engine, device, held)
        remember(engine, device, "v3", "diffclient/0.1.0")
    assert [word for word in sent if word != "BEGIN"] == ["SELECT"]


def test_steps_that_failed_on_a_device_are_left_out(engine: Engine) -> None:
    publish_chain(engine, 2)
    device, held, whole = enroll(engine), factories.digest("v1"), "speech/v0/2.snapshot"
    with reading(engine) as session:
        other = find_answer(session, device, Holding(held), without=["speech/v0/2.from.1"])
        unwelcome = find_answer(session, device, Holding(held), False, ["speech/v0/2.from.1", "speech/v0/9.from.8"])
        with pytest.raises(NoPath):
            find_answer(session, device, Holding(held), without=["speech/v0/2.from.1", whole])
    assert other.steps == (whole,)
    assert (unwelcome.steps, unwelcome.notice) == ((), "snapshot")


@pytest.mark.parametrize(("together", "queries"), [(64, 6), (2, 8)], ids=["at once", "in three parts"])
def test_a_plan_finds_its_way_by_graph_when_steps_are_many(
    engine: Engine, together: int, queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "READ_AT_FIRST", together)
    publish_chain(engine, 12)
    with statements(engine) as sent:
        found = answer(engine, enroll(engine), factories.digest("v2"))
    assert found.steps == tuple(f"speech/v0/{number}.from.{number - 1}" for number in range(3, 13))
    with reading(engine) as session:
        assert session.scalar(select(Channel.digest)) == found.digest
    assert sent.count("SELECT") <= queries, "enrolling takes some, planning two, and one for each further part"


@pytest.fixture
def fifth(engine: Engine) -> Engine:
    """Versions 0 to 5, of which 5 was recalled: the channel stands at 4, and devices may go back to 3 and 4."""
    publish_chain(engine, 5)
    with writing(engine) as session:
        session.get_one(Channel, ("speech", "stable")).digest = factories.digest("v4")
        session.get_one(Model, "speech").returns = [factories.digest("v3"), factories.digest("v4")]
    return engine


@pytest.mark.parametrize(
    ("kept", "number"),
    [
        pytest.param("v4", 4, id="to the channel's version, for nothing"),
        pytest.param("v3", 3, id="to one from which a diff leads there"),
        pytest.param("v2", 4, id="not to one that no permission names"),
        pytest.param("v9", 4, id="not to one that nobody knows"),
        pytest.param(None, 4, id="with nothing kept"),
    ],
)
def test_a_device_goes_back_by_the_version_that_it_keeps(fifth: Engine, kept: str | None, number: int) -> None:
    device, previous = enroll(fifth), kept and factories.digest(kept)
    for snapshot in (True, False):
        found = answer(fifth, device, factories.digest("v5"), snapshot, previous=previous)
        assert (found.number, found.digest) == (number, factories.digest(f"v{number}"))


def test_the_version_kept_is_taken_where_the_next_one_is_cheaper_from_there(fifth: Engine) -> None:
    device = enroll(fifth)
    release(fifth, factories.update("v4", "v6", 6, start=4))
    with writing(fifth) as session:
        session.get_one(Model, "speech").returns = [factories.digest("v4")]
    bad, good = factories.digest("v5"), factories.digest("v4")
    assert answer(fifth, device, bad, previous=good).number == 4
    assert answer(fifth, device, good, previous=bad).steps == ("speech/v0/6.from.4",)
    assert answer(fifth, device, bad).steps == ("speech/v0/6.snapshot",)
