"""Workers: who takes trainings, by the database's clock, and why a training waits for one.

A worker that was not seen for the time that it named is gone; its row stays a day, to tell when it was seen last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from diffserver.catalog.training_queue import IN_TURN
from diffserver.storage.database import now, writing
from diffserver.storage.tables import UNFINISHED, Training, Worker

KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Presence:
    """A worker as the database knows it: whether it is there, and the training that it is at."""

    name: str
    started_at: datetime
    last_seen: datetime
    there: bool
    training_id: int | None


@dataclass(frozen=True)
class Workforce:
    """All workers known, and the trainings that nobody is at, in turn, with the worker that each lost, if any."""

    known: Sequence[Presence]
    waiting: Mapping[int, str | None]

    @property
    def there(self) -> list[Presence]:
        """The workers that are there."""
        return [worker for worker in self.known if worker.there]

    @property
    def busy(self) -> list[int]:
        """The trainings that they are at."""
        return [worker.training_id for worker in self.there if worker.training_id is not None]

    def why_waiting(self, training_id: int) -> str | None:
        """Why nobody is at a training; None if somebody is, or if it is over."""
        if training_id not in self.waiting:
            return None
        lost, before = self.waiting[training_id], list(self.waiting).index(training_id)
        parts = [
            f"its worker {lost} was lost" if lost else "",
            self._next(),
            f"{before} before it" if before else "",
        ]
        return "; ".join(filter(None, parts))

    def _next(self) -> str:
        if not self.there:
            return "no worker is there: start one with `diffserver worker`, or see `diffserver status`"
        if len(self.busy) < len(self.there):
            return "a worker takes it soon"
        return f"all workers are busy, with trainings {', '.join(map(str, sorted(self.busy)))}"


def seen(engine: Engine, name: str, seconds: float) -> None:
    """Say that a worker is there, for so long; rows of those that are long gone are dropped."""
    with writing(engine) as session:
        moment = now(session)
        session.execute(delete(Worker).where(Worker.until < moment - KEPT))
        worker = session.get(Worker, name) or Worker(name=name, started_at=moment)
        worker.last_seen, worker.until = moment, moment + timedelta(seconds=seconds)
        session.add(worker)


def leave(engine: Engine, name: str) -> None:
    """Say that a worker is no longer there."""
    with writing(engine) as session:
        session.execute(delete(Worker).where(Worker.name == name))


def workforce(session: Session) -> Workforce:
    """Return the workers and the trainings that wait."""
    moment = now(session)
    columns = select(Training.id, Training.state, Training.worker)
    unfinished = session.execute(columns.where(UNFINISHED).order_by(*IN_TURN)).all()
    at_hand = {row.worker: row.id for row in unfinished if row.state == "running"}
    rows = session.scalars(select(Worker).order_by(Worker.started_at, Worker.name))
    known = [
        Presence(row.name, row.started_at, row.last_seen, row.until > moment, at_hand.get(row.name)) for row in rows
    ]
    there = {worker.name for worker in known if worker.there}
    nobodys = [row for row in unfinished if row.state == "queued" or row.worker not in there]
    return Workforce(known, {row.id: row.worker for row in nobodys})
