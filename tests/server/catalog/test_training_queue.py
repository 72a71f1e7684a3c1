import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from diffserver.catalog import training_queue, versions
from diffserver.catalog.training_request import TrainingSpec
from diffserver.catalog.workers import workforce
from diffserver.choices.delivery import DELIVERY
from diffserver.errors import Conflict, Invalid, JobLost, NotFound
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate, Training
from tests.server import factories
from tests.server.conftest import publish_chain, release

BASE = TrainingSpec("base", "speech", "/data/speech")
UPDATE = TrainingSpec("update", "speech", "/data/speech/athletes", domain="athletes")

LEASE = 60.0
EXPIRED = -1.0


def submit(engine: Engine, spec: TrainingSpec = BASE, count: int = 1, priority: int = 0) -> Sequence[int]:
    with writing(engine) as session:
        return [training_queue.submit(session, spec, priority).id for _ in range(count)]


def look(engine: Engine, training_id: int) -> Training:
    with reading(engine) as session:
        return training_queue.find(session, training_id)


def finish(engine: Engine, training_id: int, worker: str) -> None:
    with writing(engine) as session:
        candidate = versions.record_candidate(session, factories.base())
        training_queue.finish(session, training_id, worker, candidate.id)


def claimed(engine: Engine, worker: str, lease_s: float = LEASE) -> int | None:
    training = training_queue.claim(engine, worker, lease_s)
    return None if training is None else training.id


def test_a_training_goes_from_the_queue_to_its_candidate(engine: Engine) -> None:
    (training_id,) = submit(engine)
    training = training_queue.claim(engine, "w", LEASE)
    assert training is not None
    assert training_queue.spec_of(training) == BASE
    assert (training.state, training.worker, training.attempts) == ("running", "w", 1)
    assert training_queue.heartbeat(engine, training_id, "w", 0.5, "epoch 4 of 8")
    half = look(engine, training_id)
    assert (half.progress, half.message) == (0.5, "epoch 4 of 8")
    finish(engine, training_id, "w")
    done = look(engine, training_id)
    assert (done.state, done.progress, done.candidate_id) == ("done", 1.0, 1)
    assert done.created_at <= done.started_at <= done.finished_at  # type: ignore[operator]
    assert claimed(engine, "w") is None


def test_a_mistaken_task_takes_no_name(engine: Engine) -> None:
    submit(engine, replace(BASE, task="asrr"))
    (training_id,) = submit(engine)
    assert claimed(engine, "w") == training_id - 1
    assert claimed(engine, "w") == training_id
    finish(engine, training_id, "w")
    with pytest.raises(Conflict, match="of task asr, not asrr"):
        submit(engine, replace(BASE, task="asrr"))


def test_the_oldest_comes_first(engine: Engine) -> None:
    ids = submit(engine, count=3)
    assert [claimed(engine, f"w{n}") for n in range(4)] == [*ids, None]


def test_a_higher_priority_comes_first_and_of_one_the_oldest(engine: Engine) -> None:
    usual = submit(engine, count=2)
    (later,) = submit(engine, priority=-1)
    urgent = submit(engine, count=2, priority=5)
    in_turn = [*urgent, *usual, later]
    with reading(engine) as session:
        assert list(workforce(session).waiting) == in_turn
    assert claimed(engine, "lost", EXPIRED) == urgent[0]
    assert [claimed(engine, f"w{n}") for n in range(6)] == [*in_turn, None]


def test_a_claim_reads_the_unfinished_in_turn_by_an_index(engine: Engine) -> None:
    with writing(engine) as session:
        done = [{"model": "speech", "spec": {}, "state": "done"} for _ in range(2000)]
        versions.open_model(session, "speech", "asr")
        session.execute(insert(Training), done)
    submit(engine, count=3)
    with writing(engine) as session:
        if engine.dialect.name == "postgresql":
            session.execute(text("ANALYZE trainings"))
        query = training_queue._claimable(utc_now()).compile(engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN " if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = str(session.execute(text(explain + str(query).replace(":", r"\:"))).all())
    assert "ix_trainings_in_turn" in plan
    assert "sort" not in plan.lower()
    assert "TEMP B-TREE" not in plan


CLAIM_ALL = """
import sys
from diffserver.catalog import training_queue
from diffserver.storage.database import connect
engine = connect(sys.argv[1])
engine.connect().close()
print("ready", flush=True)
sys.stdin.readline()
while training := training_queue.claim(engine, sys.argv[2], 60):
    print(training.id, flush=True)
    assert training_queue.heartbeat(engine, training.id, sys.argv[2], 0.1, "")
"""


def test_workers_in_processes_of_their_own_never_get_the_same_training(engine: Engine, database_url: str) -> None:
    ids = [number for priority in (0, 7, -7) for number in submit(engine, count=20, priority=priority)]
    arguments = [sys.executable, "-c", CLAIM_ALL, database_url]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    workers: list[Any] = [subprocess.Popen([*arguments, f"w{n}"], text=True, **pipes) for n in range(3)]
    # None starts before all are there, so that they do meet.
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    printed = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    each = [[int(line) for line in out.split()] for out in printed]
    assert sorted(chain(*each)) == ids
    in_turn = [*ids[20:40], *ids[:20], *ids[40:]]
    assert [sorted(of_one, key=in_turn.index) for of_one in each] == each


def test_a_lost_training_is_claimed_again_and_its_first_worker_refused(engine: Engine) -> None:
    (training_id,) = submit(engine)
    assert claimed(engine, "lost", EXPIRED) == training_id
    assert claimed(engine, "second") == training_id
    assert not training_queue.heartbeat(engine, training_id, "lost", 0.9, "")
    assert not training_queue.fail(engine, training_id, "lost", "too late")
    assert not training_queue.release(engine, "lost")
    with pytest.raises(JobLost, match="taken over by another worker"):
        finish(engine, training_id, "lost")
    with reading(engine) as session:
        assert session.get(Candidate, 1) is None, "its candidate must not be recorded either"
    finish(engine, training_id, "second")
    assert look(engine, training_id).state == "done"


def test_a_heartbeat_renews_the_lease(engine: Engine) -> None:
    (training_id,) = submit(engine)
    claimed(engine, "w", LEASE)
    with writing(engine) as session:
        training = training_queue.find(session, training_id)
        training.lease_until = training.created_at
    assert training_queue.heartbeat(engine, training_id, "w", 0.1, "")
    assert claimed(engine, "other") is None


def test_a_worker_that_was_slow_but_not_replaced_may_finish(engine: Engine) -> None:
    (training_id,) = submit(engine)
    claimed(engine, "slow", EXPIRED)
    finish(engine, training_id, "slow")
    assert look(engine, training_id).state == "done"


def test_a_training_that_loses_every_worker_fails(engine: Engine) -> None:
    first, second = submit(engine, count=2)
    for n in range(training_queue.MAX_ATTEMPTS):
        assert claimed(engine, f"w{n}", EXPIRED) == first
    assert claimed(engine, "next") == second
    lost = look(engine, first)
    assert lost.state == "failed"
    assert "3 workers were lost" in str(lost.error)


def test_a_released_training_is_as_if_never_claimed(engine: Engine) -> None:
    (training_id,) = submit(engine)
    for n in range(training_queue.MAX_ATTEMPTS + 2):
        assert claimed(engine, f"w{n}") == training_id
        assert training_queue.heartbeat(engine, training_id, f"w{n}", 0.4, "epoch 2")
        assert training_queue.release(engine, f"w{n}") == [training_id]
    training = look(engine, training_id)
    assert (training.state, training.attempts, training.progress, training.worker) == ("queued", 0, 0.0, None)


def test_a_failure_is_kept_and_not_tried_again(engine: Engine) -> None:
    (training_id,) = submit(engine)
    claimed(engine, "w")
    assert training_queue.fail(engine, training_id, "w", "no such folder: /data/speech")
    training = look(engine, training_id)
    assert (training.state, training.error) == ("failed", "no such folder: /data/speech")
    assert claimed(engine, "w") is None


def test_a_cancelled_training_is_lost_to_its_worker(engine: Engine) -> None:
    running, queued = submit(engine, count=2)
    claimed(engine, "w")
    with writing(engine) as session:
        for training_id in (running, queued, running):
            assert training_queue.cancel(session, training_id).state == "cancelled"
    assert not training_queue.heartbeat(engine, running, "w", 0.5, "")
    with pytest.raises(JobLost):
        finish(engine, running, "w")
    assert claimed(engine, "w") is None


def test_what_is_over_cannot_be_cancelled(engine: Engine) -> None:
    (training_id,) = submit(engine)
    claimed(engine, "w")
    finish(engine, training_id, "w")
    with pytest.raises(Conflict, match="is done already"), writing(engine) as session:
        training_queue.cancel(session, training_id)
    with pytest.raises(NotFound, match="no training 99"), writing(engine) as session:
        training_queue.cancel(session, 99)


def test_what_makes_no_sense_is_refused_before_it_is_queued(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no model 'speech'"):
        submit(engine, UPDATE)
    submit(engine, BASE)
    with pytest.raises(Conflict, match="no version yet; train its base"):
        submit(engine, UPDATE)
    publish_chain(engine, 0)
    submit(engine, UPDATE)
    with pytest.raises(Conflict, match="has versions already"):
        submit(engine, BASE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checkpoint": "cd" * 32, "method": "sparse"}, "nothing is trained; leave parameters out"),
        ({"parameters": {"steps": "9", "epochs": "2"}}, "length of training is given twice"),
        ({"epochs": 3}, "length of training is given twice"),
    ],
)
def test_parameters_that_contradict_the_request_are_refused(
    engine: Engine, changes: dict[str, Any], reason: str
) -> None:
    publish_chain(engine, 0)
    with pytest.raises(Invalid, match=reason):
        submit(engine, replace(UPDATE, **{"parameters": {"steps": "9"}, **changes}))


def test_parameters_reach_the_worker(engine: Engine) -> None:
    asked = replace(BASE, parameters={"learning_rate": "2e-3"})
    submit(engine, asked)
    training = training_queue.claim(engine, "w", LEASE)
    assert training is not None
    assert training_queue.spec_of(training) == asked


GRAPH = "ab" * 32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"graph": GRAPH, "method": "exact"}, "a graph comes with a whole version"),
        ({"graph": GRAPH, "method": "snapshot"}, "the graph is that of the network of the task asr"),
        ({"off_grid": ("a",), "method": "snapshot"}, "kept off the grid when a checkpoint becomes a base"),
        ({"method": "snapshot", "checkpoint": None}, "snapshot is how a checkpoint's weights travel"),
        ({"method": "snapshot", "max_drift": 1.0}, "for diffs that are made to a budget, not for snapshot"),
    ],
)
def test_what_contradicts_a_whole_version_is_refused(engine: Engine, changes: dict[str, Any], reason: str) -> None:
    publish_chain(engine, 0)
    with pytest.raises(Invalid, match=reason):
        submit(engine, replace(replace(UPDATE, checkpoint="cd" * 32), **changes))


def test_without_a_task_a_whole_version_brings_its_graph_and_nothing_can_be_bounded(engine: Engine) -> None:
    release(engine, replace(factories.base(), task=DELIVERY))
    whole = TrainingSpec("update", "speech", task=DELIVERY, method="snapshot", checkpoint="cd" * 32, graph=GRAPH)
    submit(engine, whole)
    with pytest.raises(Invalid, match="delivered without a task, and has no error rate to bound"):
        submit(engine, replace(whole, method="sparse", graph=None, max_drift=1.0))
