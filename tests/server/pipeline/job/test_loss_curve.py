"""A loss curve: so many points of whatever progress tells, and all of them in the database in the end."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from diffserver.catalog import training_queue, workers
from diffserver.catalog.jobs import losses
from diffserver.catalog.jobs.losses import NewLoss
from diffserver.catalog.training_request import TrainingSpec
from diffserver.pipeline.job.loss_curve import POINTS, LossCurve, loss_curve, point_of
from diffserver.storage.database import connect, reading, writing


@pytest.mark.parametrize("steps", [1, 2, 150, 199, 200, 201, 12_345, 1_000_000])
def test_however_many_steps_there_are_the_points_go_from_the_first_to_the_last(steps: int) -> None:
    told = [point_of(f"step {step} of {steps}, loss 0.500") for step in range(1, steps + 1)]
    found = [point.step for point in told if point]
    assert (found[0], found[-1]) == (1, steps)
    assert min(steps, POINTS / 2) <= len(found) <= POINTS + 2
    assert {after - before for before, after in pairwise(found[1:-1])} <= {-(-steps // POINTS)}, "evenly"


@pytest.mark.parametrize(
    ("message", "point"),
    [
        ("training 2 of at most 3 (sparse at 1.50%): step 1 of 9, loss 12.250", NewLoss("2-sparse", 1, 12.25)),
        ("training 1 of at most 3 (full): step 9 of 9, loss 0.001", NewLoss("1-full", 9, 0.001)),
        ("evaluates on base", None),
        ("reads step 1 of 2, loss 3", None),
        ("step 1 of 9, loss 1.2.3", None),
    ],
)
def test_a_point_is_of_a_training_of_its_request(message: str, point: NewLoss | None) -> None:
    assert point_of(message) == point


def cut_short(engine: Engine, number: int) -> None:
    """A training that ends by an error."""
    with suppress(KeyError), loss_curve(engine, "w", number) as curve:
        curve.note("step 2 of 2, loss 0.250")
        raise KeyError


def test_it_is_written_in_the_end_and_waits_for_a_database_that_is_away(engine: Engine) -> None:
    with writing(engine) as session:
        number = training_queue.submit(session, TrainingSpec("base", "m", "/data")).id
    workers.seen(engine, "w", 600)
    training_queue.claim(engine, "w", 600)
    curve = LossCurve(connect("sqlite:////no/such/folder/database.db"), "w", number)
    curve.note("step 1 of 2, loss 0.500")
    with pytest.raises(OperationalError):
        curve.flush()
    curve._engine = engine
    curve.flush()
    cut_short(engine, number)
    with reading(engine) as session:
        assert [(row.step, row.loss) for row in losses.entries(session, number)] == [(1, 0.5), (2, 0.25)]
