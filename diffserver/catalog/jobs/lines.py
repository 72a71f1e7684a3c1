"""The log of a training: what its workers said of it, a row a line, the latest of them.

Lines are numbered in each training from 1; of a longer log the first ones go. When they are written, and in which
batches, is left to the worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from diffserver.storage.database import in_order, writing
from diffserver.storage.tables import Training, TrainingLine

KEPT = 2000
"""The most lines of one training."""


@dataclass(frozen=True)
class NewLine:
    """A line as a worker says it; `level` is info, warning or error."""

    training_id: int
    at: datetime
    level: str
    worker: str
    text: str


def append(engine: Engine, lines: Sequence[NewLine]) -> None:
    """Write lines, those of one training in their order; those of trainings that are gone are dropped."""
    with writing(engine) as session:
        for training_id, of_one in groupby(lines, lambda line: line.training_id):
            _append(session, training_id, list(of_one))


def entries(session: Session, training_id: int, after: int, limit: int, newest: bool = False) -> Sequence[TrainingLine]:
    """Return a training's lines after one of that number, oldest or `newest` first."""
    of_training = select(TrainingLine).where(TrainingLine.training_id == training_id)
    return session.scalars(in_order(of_training, TrainingLine.number, after, newest).limit(limit)).all()


def _append(session: Session, training_id: int, new: Sequence[NewLine]) -> None:
    # Locked, as a worker that lost the training may have last words while another one begins.
    if session.scalars(select(Training.id).where(Training.id == training_id).with_for_update()).first() is None:
        return
    of_training = TrainingLine.training_id == training_id
    last = session.scalars(select(func.max(TrainingLine.number)).where(of_training)).one() or 0
    for number, line in enumerate(new, start=last + 1):
        session.add(TrainingLine(**vars(line), number=number))
    session.execute(delete(TrainingLine).where(of_training, TrainingLine.number <= last + len(new) - KEPT))
