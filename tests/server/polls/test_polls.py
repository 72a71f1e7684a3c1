"""Polls of devices that say nothing new: no query, and never an answer that has been overtaken for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from starlette.testclient import TestClient

from diffclient import __version__
from diffserver.app import create_app
from diffserver.catalog import devices, tokens
from diffserver.catalog.admin import device_changes
from diffserver.polls.memory import LONGEST_SECONDS, Memory
from diffserver.rollouts import records
from diffserver.rollouts.plan import Conditions
from diffserver.settings import Settings
from diffserver.storage.changes import News
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Channel, Device
from diffserver.trust import releases
from tests.server import factories
from tests.server.conftest import Service, closing_engine, record
from tests.server.rollouts.fleet import PollingDevice, enrolled
from tests.waiting import wait_for

until_heard = partial(wait_for, seconds=3.0, pause=0.02)
"""For what is heard of within about a second."""

SAID = {"client": f"diffclient/{__version__}", "boot": "0b9de9a8-25c1-4c8a-9d0b-6b3d1c5c7f7a"}


@pytest.fixture
def elsewhere(database_url: str) -> Iterator[Engine]:
    """The database as another process has it, of which the server is not told at once."""
    with closing_engine(database_url) as engine:
        yield engine


@pytest.fixture
def device(service: Service) -> PollingDevice:
    """A device of three versions' model, two of which are published, that has polled until nothing is new."""
    service.publish_chain(1)
    (device,) = enrolled(service, 1)
    settle(service, device)
    return device


def settle(service: Service, device: PollingDevice) -> None:
    until_heard(service.app.state.memory.is_fresh)
    for _ in range(3):
        idle(device)


def idle(device: PollingDevice) -> Any:
    return device.client.post("/v1/device/poll", json={"digest": device.holds, "previous": device.keeps, **SAID})


@contextmanager
def queries(service: Service) -> Iterator[list[str]]:
    """What polls send to the database: not what the threads do that read changes and note who was seen."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        if threading.current_thread().name not in ("changes", "notes"):
            sent.append(statement)

    event.listen(service.app.state.engine, "before_cursor_execute", note)
    yield sent
    event.remove(service.app.state.engine, "before_cursor_execute", note)


def test_an_idle_poll_asks_the_database_nothing(service: Service, device: PollingDevice) -> None:
    with queries(service) as sent:
        answers = [idle(device).json() for _ in range(10)]
    assert sent == []
    assert answers[0] == answers[-1]
    assert (answers[0]["action"], answers[0]["version"]) == ("none", 1)


def test_idle_polls_are_counted_and_have_no_line_in_the_log(service: Service, device: PollingDevice) -> None:
    counted = 'diffserver_requests_total{method="POST",route="/v1/device/poll",status="200"}'
    before, lines = count_of(service, counted), len(service.logged())
    for _ in range(7):
        assert idle(device).headers["x-request-id"]
    assert [line for line in service.logged()[lines:] if line.get("path") == "/v1/device/poll"] == []
    assert count_of(service, counted) - before == 7


def count_of(service: Service, series: str) -> float:
    (line,) = [line for line in service.operator.get("/metrics").text.splitlines() if line.startswith(series)]
    return float(line.rpartition(" ")[2])


class TestWithLines:
    """A server that is asked to log every poll."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, log_idle_polls=True)

    def test_idle_polls_are_logged_if_that_is_asked_for(self, service: Service, device: PollingDevice) -> None:
        with queries(service) as sent:
            idle(device)
        assert sent == []
        line = service.logged()[-1]
        assert (line["path"], line["device_id"], line["status"]) == ("/v1/device/poll", device.id, 200)


def test_the_answer_from_memory_is_that_of_the_endpoint(service: Service, device: PollingDevice) -> None:
    from_memory = idle(device)
    service.app.state.memory.forget()
    endpoint = idle(device)
    assert from_memory.json() == endpoint.json()
    assert from_memory.headers.keys() == endpoint.headers.keys()


def revoke(engine: Engine, device: PollingDevice) -> None:
    with writing(engine) as session:
        tokens.revoke_device(session, devices.find(session, device.id))


def test_a_revoked_token_is_refused_within_seconds_in_another_process(
    service: Service, device: PollingDevice, elsewhere: Engine
) -> None:
    assert idle(device).status_code == 200
    revoke(elsewhere, device)
    until_heard(lambda: idle(device).status_code == 401)


def test_a_revoked_token_is_refused_at_once_in_the_same_process(service: Service, device: PollingDevice) -> None:
    service.operator.post(f"/v1/devices/{device.id}/revoke")
    assert idle(device).status_code == 401


def new_version(service: Service, engine: Engine) -> None:
    candidate = record(engine, factories.update("v1", "v2", 2))
    with writing(engine) as session:
        releases.publish(session, service.keyring, candidate.id)


def move_back(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        releases.move_channel(session, service.keyring, "speech", 0)


def start_rollout(service: Service, engine: Engine) -> None:
    candidate = record(engine, factories.update("v1", "v2", 2))
    way = releases.Way(stages=("group=pilots", "100%"), conditions=Conditions())
    with writing(engine) as session:
        releases.publish(session, service.keyring, candidate.id, way=way)


def next_stage(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        records.approve(session, records.locked(session, 1), "anna")


def abort(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        records.abort(session, records.locked(session, 1), "harm", None)


def describe(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        device_changes.change(session, the_device(engine).id, attributes={"group": "pilots"})


def describe_no_more(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        device_changes.change(session, the_device(engine).id, attributes={"group": None})


def move_device(service: Service, engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Channel(model="speech", name="canary", digest=factories.digest("v0")))
        session.flush()
        device_changes.change(session, the_device(engine).id, channel="canary")


def the_device(engine: Engine) -> Device:
    with reading(engine) as session:
        return session.scalars(select(Device)).one()


Change = Callable[[Service, Engine], None]


@pytest.mark.parametrize(
    ("before", "change", "version"),
    [
        pytest.param([], new_version, 2, id="a version is published"),
        pytest.param([], move_back, 0, id="the channel moves back"),
        pytest.param([describe], start_rollout, 2, id="a rollout starts with the device"),
        pytest.param([start_rollout], describe, 2, id="the device gets the attribute of a stage"),
        pytest.param([describe, start_rollout], describe_no_more, 1, id="the device loses it"),
        pytest.param([start_rollout], next_stage, 2, id="a rollout enters its last stage"),
        pytest.param([describe, start_rollout], abort, 1, id="a rollout is aborted"),
        pytest.param([], move_device, 0, id="the device moves to another channel"),
    ],
)
def test_what_another_process_changes_is_answered_within_seconds(
    service: Service, device: PollingDevice, elsewhere: Engine, before: list[Change], change: Change, version: int
) -> None:
    for act in before:
        act(service, service.engine)
    settle(service, device)
    assert idle(device).json()["version"] != version
    change(service, elsewhere)
    until_heard(lambda: idle(device).json()["version"] == version)


def test_signed_again_is_told_within_seconds(service: Service, device: PollingDevice, elsewhere: Engine) -> None:
    before = idle(device).json()["metadata"]
    etag = service.public.get("/v1/tuf/timestamp.json").headers["etag"]
    assert etag == f'"{before["timestamp"]}"'
    assert service.public.get("/v1/tuf/timestamp.json", headers={"If-None-Match": etag}).status_code == 304
    with writing(elsewhere) as session:
        releases.renew(session, service.keyring, "speech")
    until_heard(lambda: idle(device).json()["metadata"] != before)
    assert service.public.get("/v1/tuf/timestamp.json", headers={"If-None-Match": etag}).status_code == 200


def deaf(service: Service) -> Memory:
    """The memory of a server that has been told of all so far, and hears of nothing more for a while."""
    memory: Memory = service.app.state.memory
    until_heard(memory.is_fresh)
    memory.hear = lambda engine: None  # type: ignore[method-assign]
    return memory


def test_a_device_that_another_process_told_of_a_version_finds_it_signed(
    service: Service, device: PollingDevice, elsewhere: Engine
) -> None:
    timestamp = "/v1/tuf/timestamp.json"
    memory, before = deaf(service), service.public.get(timestamp).content
    new_version(service, elsewhere)
    assert idle(device).json()["version"] == 1
    assert memory.is_fresh()
    assert service.public.get(timestamp).content != before


def test_what_stands_is_never_older_than_where_the_channel_leads(
    service: Service, device: PollingDevice, elsewhere: Engine
) -> None:
    memory, before = deaf(service), idle(device).json()["metadata"]
    new_version(service, elsewhere)
    memory._forget([News("model", "speech")])
    answer = idle(device).json()
    assert memory.is_fresh()
    assert (answer["version"], answer["metadata"] != before) == (2, True)


def test_who_was_seen_is_written_before_the_server_ends(service: Service, device: PollingDevice) -> None:
    moment = datetime.now(UTC)
    served = create_app(service.settings)
    with TestClient(served, headers=dict(device.client.headers)) as other:
        answer = other.post("/v1/device/poll", json={"digest": device.holds, "previous": device.keeps, **SAID})
        assert answer.status_code == 200
    with reading(service.engine) as session:
        last_seen = session.get_one(Device, device.id).last_seen
    assert last_seen is not None
    assert last_seen >= moment


def test_a_server_that_hears_of_no_changes_answers_from_the_database(service: Service, device: PollingDevice) -> None:
    memory = service.app.state.memory
    assert memory.is_fresh()
    memory._clock = lambda: time.monotonic() + LONGEST_SECONDS + 2
    assert not memory.is_fresh()
    with queries(service) as sent:
        assert idle(device).status_code == 200
    assert sent
