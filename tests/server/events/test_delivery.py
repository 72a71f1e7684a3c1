"""Events of rollouts reach a real receiver: in order, again after a failure, after a crash, and from one replica."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update
from starlette.testclient import TestClient

from diffserver.app import create_app
from diffserver.events import delivery, outbox
from diffserver.logs import make_log
from diffserver.rollouts import records
from diffserver.storage import leases
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Channel, Event, Rollout
from tests.server.conftest import Service
from tests.server.events.receiver import Receiver
from tests.server.rollouts.fleet import enrolled, look, publish_in_stages
from tests.waiting import wait_for

LOG = make_log()


def deliver(engine: Engine, receiver: Receiver, holder: str = "one") -> None:
    delivery.deliver(engine, receiver.webhook, holder, LOG)


def at_once(engine: Engine) -> None:
    """Let no event wait any longer to be tried again."""
    with writing(engine) as session:
        session.execute(update(Event).values(next_try_at=utc_now()))


def rows(engine: Engine) -> list[Event]:
    with reading(engine) as session:
        return list(session.scalars(select(Event).order_by(Event.id)))


def put(engine: Engine, count: int, rollout: int | None = 1) -> list[str]:
    events = [outbox.new_event("rollout.started", {}, rollout) for _ in range(count)]
    with writing(engine) as session:
        for event in events:
            session.add(event)
            session.flush()
    return [event.message_id for event in events]


def test_what_happens_to_a_rollout_is_told_in_order(service: Service, receiver: Receiver) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "50%,100%")
    for act in ("pause", "resume", "approve"):
        service.operator.post(f"/v1/rollouts/{rollout}/{act}", json={"reason": "of a test"})
    deliver(service.engine, receiver)
    told = ["started", "paused", "resumed", "stage_entered", "completed"]
    assert receiver.types == [f"rollout.{what}" for what in told]
    assert receiver.bodies[1]["data"] == {
        "rollout": rollout,
        "model": "speech",
        "channel": "stable",
        "from_version": 1,
        "to_version": 2,
        "state": "paused",
        "stage": "50%",
        "stages": ["50%", "100%"],
        "by": "anna",
        "reason": "of a test",
    }
    assert {row.tries for row in rows(service.engine)} == {1}


def test_a_rollout_that_waits_for_a_second_person_says_so(service: Service, receiver: Receiver) -> None:
    service.publish_chain(1)
    with writing(service.engine) as session:
        session.get_one(Channel, ("speech", "stable")).two_persons = True
    rollout = publish_in_stages(service, 2, "50%,100%")
    service.operator.post(f"/v1/rollouts/{rollout}/abort", json={"reason": "not today"})
    deliver(service.engine, receiver)
    assert receiver.types == ["rollout.proposed", "rollout.aborted"]
    assert [body["data"]["by"] for body in receiver.bodies] == ["anna", "anna"]
    assert receiver.bodies[0]["data"]["stage"] is None


def test_harm_that_the_gate_found_is_told_with_its_reason(service: Service, receiver: Receiver) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 40)
    publish_in_stages(service, 2, "50%,100%", evidence="failures", least=5)
    for device in devices:
        if (
            device.client.post("/v1/device/poll", json={"digest": device.holds, "client": "test"}).json()["version"]
            == 2
        ):
            device.report("failed", from_digest=device.holds, to_digest=_to(service), cause="version", reason="no")
    assert list(look(service).values()) == ["aborted"]
    deliver(service.engine, receiver)
    last = receiver.bodies[-1]
    assert (last["type"], last["data"]["by"]) == ("rollout.aborted", None)
    assert last["data"]["reason"].startswith("harm: ")


def _to(service: Service) -> str:
    with reading(service.engine) as session:
        return session.scalars(select(Rollout.to_digest)).one()


def test_an_act_that_is_refused_is_not_told(service: Service) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "50%,100%")
    before = len(rows(service.engine))
    assert service.operator.post(f"/v1/rollouts/{rollout}/resume").status_code == 409
    assert len(rows(service.engine)) == before


def test_a_failure_is_tried_again_under_the_same_id(engine: Engine, receiver: Receiver) -> None:
    ids = put(engine, 2)
    receiver.answers = [500]
    deliver(engine, receiver)
    first, second = rows(engine)
    assert (first.tries, first.error, first.delivered_at) == (1, "127.0.0.1 answered 500", None)
    assert first.next_try_at - utc_now() > timedelta(seconds=5)
    assert second.tries == 0, "it waits for the one before it"
    at_once(engine)
    deliver(engine, receiver)
    assert receiver.ids == [ids[0], ids[0], ids[1]]
    assert receiver.bodies[0] == receiver.bodies[1]
    assert all(row.delivered_at and row.error is None for row in rows(engine))


KILLED = """
import os, signal, sys
from diffserver.rollouts import records
from diffserver.storage.database import connect, writing
with writing(connect(sys.argv[1])) as session:
    records.pause(session, records.locked(session, int(sys.argv[2])), "of a test", "anna")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_is_told_though_the_process_was_killed(service: Service, receiver: Receiver) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "50%,100%")
    url = service.engine.url.render_as_string(hide_password=False)
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(rollout)], check=False)
    assert done.returncode == -9
    deliver(service.engine, receiver)
    assert receiver.types == ["rollout.started", "rollout.paused"]


def test_what_is_rolled_back_is_not_told(service: Service) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "50%,100%")
    before = len(rows(service.engine))
    with writing(service.engine) as session:
        records.pause(session, records.locked(session, rollout), "of a test", "anna")
        session.rollback()
    assert len(rows(service.engine)) == before


def test_a_crash_after_the_answer_sends_it_again_under_the_same_id(
    engine: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = put(engine, 1)
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "delivered", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deliver(engine, receiver)
    deliver(engine, receiver, "another, once the lease is over")
    assert receiver.ids == [message], "the lease is still held"
    leases.release(engine, delivery.LEASE, "one")
    deliver(engine, receiver, "another")
    assert receiver.ids == [message, message]


def test_of_two_replicas_each_event_is_sent_by_one(engine: Engine, receiver: Receiver) -> None:
    ids = put(engine, 8)
    receiver.silent_for = 0.02
    replicas = [threading.Thread(target=deliver, args=(engine, receiver, name)) for name in ("one", "two")]
    for thread in replicas:
        thread.start()
    for thread in replicas:
        thread.join()
    assert receiver.ids == ids


def test_a_server_delivers_by_itself_and_a_slow_receiver_holds_up_no_rollout(
    service: Service, receiver: Receiver
) -> None:
    receiver.held = True
    service.publish_chain(1)
    served = create_app(replace(service.settings, webhook=receiver.webhook), make_log())
    with TestClient(served, headers=dict(service.operator.headers)) as client:
        rollout = publish_in_stages(service, 2, "50%,100%")
        assert client.post(f"/v1/rollouts/{rollout}/approve").json()["state"] == "done"
        assert receiver.answered == 0
        receiver.held = False
        wait_for(lambda: receiver.answered == 3)
        shown = client.get("/v1/webhook").json()
    assert receiver.types == ["rollout.started", "rollout.stage_entered", "rollout.completed"]
    assert shown["host"] == "127.0.0.1"
    assert "s3cret" not in str(shown)
