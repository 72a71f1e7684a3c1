"""The losses of a training by step, a row a point: few enough for a picture, and all of the way.

Which steps are points is left to the worker, as are the times at which they are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from diffserver.storage.database import writing
from diffserver.storage.tables import Loss, Training


@dataclass(frozen=True)
class NewLoss:
    """The loss of a step, in one of the trainings that a request takes."""

    part: str
    step: int
    loss: float


def append(engine: Engine, training_id: int, worker: str, losses: Sequence[NewLoss]) -> None:
    """Write the losses of a training that a worker is or was at last; those of one that lost it are dropped.

    Steps that are made again, as by a worker that goes on from a saved state, take the place of those from there on.
    """
    with writing(engine) as session:
        held = select(Training.id).where(Training.id == training_id, Training.worker == worker).with_for_update()
        if session.scalars(held).first() is None:
            return
        for part in {new.part for new in losses}:
            first = min(new.step for new in losses if new.part == part)
            session.execute(delete(Loss).where(Loss.training_id == training_id, Loss.part == part, Loss.step >= first))
        session.add_all({(new.part, new.step): Loss(training_id=training_id, **vars(new)) for new in losses}.values())


def entries(session: Session, training_id: int) -> Sequence[Loss]:
    """Return a training's losses, part by part."""
    return session.scalars(select(Loss).where(Loss.training_id == training_id).order_by(Loss.part, Loss.step)).all()
