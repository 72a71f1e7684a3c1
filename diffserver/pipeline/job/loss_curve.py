"""The loss curve of a training, as its progress tells it: a few hundred points, however many steps there are."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffserver.catalog.jobs import losses
from diffserver.catalog.jobs.losses import NewLoss
from diffserver.pipeline.job.heartbeat import repeating

FLUSH_SECONDS = 1.0
POINTS = 200
"""The points of one training, about; its first and its last step are among them."""

_TOLD = re.compile(r"(?:\w+ (\d+) of at most \d+ \((\w+)[^)]*\): )?step (\d{1,9}) of (\d{1,9}), loss ([\d.]+)")


class LossCurve:
    """The points of one training on their way to the database."""

    def __init__(self, engine: Engine, worker: str, training_id: int) -> None:
        self._engine, self._worker, self._id = engine, worker, training_id
        self._waiting: list[NewLoss] = []

    def note(self, message: str) -> None:
        """Take the loss that progress tells, if it is a point."""
        if point := point_of(message):
            self._waiting.append(point)

    def flush(self) -> None:
        """Write what waits; raises SQLAlchemyError, after which it waits on."""
        if batch := self._waiting[:]:
            losses.append(self._engine, self._id, self._worker, batch)
            del self._waiting[: len(batch)]


@contextmanager
def loss_curve(engine: Engine, worker: str, training_id: int) -> Iterator[LossCurve]:
    """Write what a training tells of its loss until the block ends, whatever the database answers."""
    curve = LossCurve(engine, worker, training_id)
    try:
        with repeating("losses", curve.flush, FLUSH_SECONDS):
            yield curve
    finally:
        with suppress(SQLAlchemyError):  # it is for a picture alone
            curve.flush()


def point_of(message: str) -> NewLoss | None:
    """Return the point that a message tells; None for one between points, and for what tells no loss."""
    told = _TOLD.fullmatch(message)
    if not told:
        return None
    number, method, step, steps = told[1], told[2], int(told[3]), int(told[4])
    if step not in (1, steps) and step % -(-steps // POINTS):
        return None
    with suppress(ValueError):
        return NewLoss(f"{number}-{method}" if number else "", step, float(told[5]))
    return None
