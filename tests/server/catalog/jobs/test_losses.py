"""The losses of a training: steps that are made again take the place of those before, and a worker writes its own."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, delete

from diffserver.catalog import training_queue, workers
from diffserver.catalog.jobs import losses
from diffserver.catalog.jobs.losses import NewLoss
from diffserver.catalog.training_request import TrainingSpec
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Training


@pytest.fixture
def number(engine: Engine) -> int:
    """A training that worker w is at."""
    with writing(engine) as session:
        submitted = training_queue.submit(session, TrainingSpec("base", "m", "/data")).id
    workers.seen(engine, "w", 600)
    training_queue.claim(engine, "w", 600)
    return submitted


def write(engine: Engine, number: int, part: str, steps: Sequence[int], loss: float, worker: str = "w") -> None:
    losses.append(engine, number, worker, [NewLoss(part, step, loss) for step in steps])


def told(engine: Engine, number: int) -> list[tuple[str, int, float]]:
    with reading(engine) as session:
        return [(row.part, row.step, row.loss) for row in losses.entries(session, number)]


def test_a_state_that_is_gone_on_from_writes_over_what_came_after_it(engine: Engine, number: int) -> None:
    write(engine, number, "1-full", [1, 10, 20, 30], 0.5)
    write(engine, number, "2-sparse", [1, 10], 0.7)
    write(engine, number, "1-full", [20], 0.4)
    first = [("1-full", 1, 0.5), ("1-full", 10, 0.5), ("1-full", 20, 0.4)]
    assert told(engine, number) == [*first, ("2-sparse", 1, 0.7), ("2-sparse", 10, 0.7)]


def test_a_step_that_is_told_twice_is_one_point(engine: Engine, number: int) -> None:
    write(engine, number, "", [1, 10, 10], 0.5)
    assert told(engine, number) == [("", 1, 0.5), ("", 10, 0.5)]


def test_a_worker_that_lost_the_training_writes_nothing_and_one_that_ended_it_does(engine: Engine, number: int) -> None:
    write(engine, number, "", [1], 0.5, worker="another")
    assert told(engine, number) == []
    training_queue.fail(engine, number, "w", "no data")
    write(engine, number, "", [1], 0.5)
    assert told(engine, number) == [("", 1, 0.5)]


def test_they_go_with_their_training(engine: Engine, number: int) -> None:
    write(engine, number, "", [1], 0.5)
    with writing(engine) as session:
        session.execute(delete(Training).where(Training.id == number))
    assert told(engine, number) == []
