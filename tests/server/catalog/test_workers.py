from datetime import timedelta

import pytest
from sqlalchemy import Engine

from diffserver.catalog import training_queue, workers
from diffserver.catalog.workers import Workforce
from diffserver.storage.database import now, reading, writing
from diffserver.storage.tables import Worker
from tests.server.catalog.test_training_queue import claimed, submit
from tests.server.conftest import Service

LEASE = 60.0


def look(engine: Engine) -> Workforce:
    with reading(engine) as session:
        return workers.workforce(session)


def test_a_worker_is_there_while_it_is_seen(engine: Engine) -> None:
    workers.seen(engine, "here", LEASE)
    first = look(engine).known[0]
    workers.seen(engine, "here", LEASE)
    workers.seen(engine, "gone", -1)
    assert {worker.name: worker.there for worker in look(engine).known} == {"here": True, "gone": False}
    again = next(worker for worker in look(engine).known if worker.name == "here")
    assert again.started_at == first.started_at
    assert again.last_seen >= first.last_seen
    workers.leave(engine, "here")
    assert [worker.name for worker in look(engine).known] == ["gone"]


def test_a_worker_that_is_long_gone_is_forgotten(engine: Engine) -> None:
    with writing(engine) as session:
        long_ago = now(session) - workers.KEPT - timedelta(seconds=1)
        session.add(Worker(name="old", started_at=long_ago, last_seen=long_ago, until=long_ago))
    workers.seen(engine, "new", LEASE)
    assert [worker.name for worker in look(engine).known] == ["new"]


def test_why_a_training_waits(engine: Engine) -> None:
    first, second, third = submit(engine, count=3)
    assert look(engine).why_waiting(first) == (
        "no worker is there: start one with `diffserver worker`, or see `diffserver status`"
    )
    workers.seen(engine, "w", LEASE)
    assert look(engine).why_waiting(first) == "a worker takes it soon"
    assert claimed(engine, "w") == first
    found = look(engine)
    assert (found.why_waiting(first), found.busy) == (None, [first])
    assert found.why_waiting(second) == f"all workers are busy, with trainings {first}"
    assert found.why_waiting(third) == f"all workers are busy, with trainings {first}; 1 before it"
    workers.seen(engine, "w", -1)
    assert str(look(engine).why_waiting(first)).startswith("its worker w was lost; no worker is there")
    assert training_queue.fail(engine, first, "w", "over")
    assert look(engine).why_waiting(first) is None


def test_an_operator_sees_workers_and_why_trainings_wait(service: Service) -> None:
    (number,) = submit(service.engine)
    workers.seen(service.engine, "w", LEASE)
    answer = service.operator.get("/v1/status").json()
    assert answer["trainings"] == {"workers": 1, "busy": 0, "waiting": 1}
    assert answer["why_waiting"] == "a worker takes it soon"
    assert [(worker["name"], worker["there"], worker["training_id"]) for worker in answer["known_workers"]] == [
        ("w", True, None)
    ]
    assert service.operator.get("/v1/trainings").json()["items"][0]["waiting"] == "a worker takes it soon"
    claimed(service.engine, "w")
    assert service.operator.get("/v1/status").json()["why_waiting"] is None
    assert service.public.get("/readyz").json() == {
        "status": "ok",
        "own_worker": "none was started with this server",
        "trainings": {"workers": 1, "busy": 1, "waiting": 0},
        "objects": {"missing": 0, "damaged": 0},
    }
    assert service.operator.get(f"/v1/trainings/{number}").json()["waiting"] is None


@pytest.mark.parametrize("text", ["\ud800", "\0", "\x1b[31m", "\u202e", "x" * 100_000])
def test_every_error_can_be_stored(engine: Engine, text: str) -> None:
    (number,) = submit(engine)
    claimed(engine, "w")
    assert training_queue.heartbeat(engine, number, "w", 0.5, f"at {text}")
    assert training_queue.fail(engine, number, "w", f"tensor {text}")
    with reading(engine) as session:
        stored = training_queue.find(session, number)
        assert stored.error is not None
        assert stored.error.isprintable()
        assert stored.error.startswith("tensor ")
        assert stored.message.startswith("at ")
        assert len(stored.error) <= 4000
