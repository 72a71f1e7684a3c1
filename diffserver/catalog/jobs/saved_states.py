"""Saved states: which object a training, or a part of it, goes on from when its worker is lost.

Only the worker that holds the training writes one. The objects themselves are left to the caller.
"""

from collections.abc import Sequence

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob
from diffserver.catalog.training_queue import require_held
from diffserver.storage.database import now, writing
from diffserver.storage.tables import UNFINISHED, SavedState, Training

WAIT_SECONDS = 5.0
"""How long a state may wait for other writers: its training waits meanwhile, and a later one does as well."""

_UNDER_WAY = select(Training.id).where(UNFINISHED)


def find(session: Session, training_id: int, part: str) -> SavedState | None:
    """Return the last state of a training's part; None if there is none."""
    return session.get(SavedState, (training_id, part))


def replace(engine: Engine, training_id: int, worker: str, part: str, step: int, blob: Blob) -> str | None:
    """Make an object the state of a training's part after a step; return the SHA-256 of the one before, if any.

    A training that came further may lose as many workers as a new one. Raises JobLost.
    """
    with writing(engine, WAIT_SECONDS) as session:
        training = require_held(session, training_id, worker)
        before = find(session, training_id, part)
        replaced = before.object.sha256 if before else None
        if before is None or before.step < step:
            training.attempts = min(training.attempts, 1)
        session.merge(
            SavedState(training_id=training_id, part=part, step=step, object=blob, worker=worker, saved_at=now(session))
        )
    return replaced


def of_ended(session: Session) -> Sequence[SavedState]:
    """Return the states of trainings that are over, of which no one goes on."""
    return session.scalars(select(SavedState).where(SavedState.training_id.not_in(_UNDER_WAY))).all()


def forget(engine: Engine, state: SavedState) -> None:
    """Remove a state's row; done once its object is gone."""
    this_one = (SavedState.training_id == state.training_id, SavedState.part == state.part)
    with writing(engine) as session:
        session.execute(delete(SavedState).where(*this_one))


def objects(session: Session) -> set[str]:
    """Return the objects, by SHA-256, that someone may go on from."""
    needed = select(SavedState.object).where(SavedState.training_id.in_(_UNDER_WAY))
    return {blob.sha256 for blob in session.scalars(needed)}
