"""Jobs: trainings wait in the database until a worker claims them, under a lease that it keeps renewing.

They come by priority, and of one priority the oldest first. A worker that stops renewing has lost its job: another
claims it, and the first one's result is refused. A worker's name must be its own and of one process (host, process id
and a random part). Training itself is left to the worker, what it keeps meanwhile to `jobs`.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import Engine, Select, or_, select
from sqlalchemy.orm import Session

from diffclient.measure.error_count import Errors
from diffserver.catalog import versions
from diffserver.catalog.training_request import TrainingSpec, require_deliverable, require_sense
from diffserver.errors import Conflict, JobLost, NotFound
from diffserver.storage.database import now, writing
from diffserver.storage.tables import UNFINISHED, Model, Training

MAX_ATTEMPTS = 3
"""The workers that may be lost at a training without its coming further."""

IN_TURN = (Training.turn, Training.id)
"""The order in which trainings are claimed."""


def spec_of(training: Training) -> TrainingSpec:
    """Return the request that a training's row holds."""
    fields = training.spec
    measured = {name: Errors(**errors) for name, errors in fields.get("measured", {}).items()}
    return TrainingSpec(**fields | {"off_grid": tuple(fields.get("off_grid", ())), "measured": measured})


def submit(session: Session, spec: TrainingSpec, priority: int = 0) -> Training:
    """Queue a training: a base for a model without versions, an update for one that has some.

    Raises NotFound, Conflict, Invalid.
    """
    require_sense(spec)
    model = _require_place(session, spec)
    spec = replace(spec, task=model.task)
    require_deliverable(spec)
    training = Training(model=spec.model, spec=asdict(spec), turn=-priority)
    session.add(training)
    session.flush()
    return training


def find(session: Session, training_id: int) -> Training:
    """The training of that number; raises NotFound."""
    training = session.get(Training, training_id)
    if training is None:
        raise NotFound(f"there is no training {training_id}", "list them with GET /v1/trainings")
    return training


def claim(engine: Engine, worker: str, lease_s: float) -> Training | None:
    """Take the first training that waits or whose worker was lost; None if there is none.

    Never gives one training to two workers. One that has already lost MAX_ATTEMPTS workers fails instead.
    """
    with writing(engine) as session:
        moment = now(session)
        while training := session.scalars(_claimable(moment)).first():
            if training.attempts < MAX_ATTEMPTS:
                _lease(training, worker, lease_s, moment)
                return training
            _end(training, "failed", moment)
            training.error = (
                f"{MAX_ATTEMPTS} workers were lost at it, the last of them {training.worker} (killed, out of memory, "
                "or without the database for too long); see their logs, then submit it again"
            )
            session.flush()
    return None


def heartbeat(engine: Engine, training_id: int, worker: str, progress: float, message: str) -> bool:
    """Renew the lease and record the progress (0 to 1); False if the training was cancelled or lost."""

    def renew(training: Training, moment: datetime) -> None:
        training.progress, training.message = progress, message
        training.lease_until = moment + timedelta(seconds=training.lease_seconds)

    return _change(engine, training_id, worker, renew)


def finish(session: Session, training_id: int, worker: str, candidate_id: int) -> None:
    """Mark a training done in the transaction that records its candidate; JobLost undoes both.

    A lease that ran out is no loss as long as no one else has claimed the training.
    """
    training = require_held(session, training_id, worker)
    _end(training, "done", now(session))
    training.progress, training.candidate_id = 1.0, candidate_id
    session.flush()


def require_held(session: Session, training_id: int, worker: str) -> Training:
    """Return the training that a worker is at, locked until the transaction ends; raises JobLost."""
    training = _held(session, training_id, worker)
    if training is None:
        raise JobLost(
            f"training {training_id} was cancelled or taken over by another worker",
            "drop this result; if the machine sleeps or is overloaded, use a longer lease",
        )
    return training


def fail(engine: Engine, training_id: int, worker: str, error: str) -> bool:
    """Mark a training failed; False if it was cancelled or lost meanwhile."""

    def end(training: Training, moment: datetime) -> None:
        _end(training, "failed", moment)
        training.error = error

    return _change(engine, training_id, worker, end)


def release(engine: Engine, worker: str) -> list[int]:
    """Put what a worker is at back into the queue, as one that stops does; returns the numbers."""
    at_hand = select(Training).where(Training.worker == worker, Training.state == "running")
    with writing(engine) as session:
        trainings = session.scalars(at_hand.with_for_update()).all()
        for training in trainings:
            training.state, training.worker, training.lease_until = "queued", None, None
            training.progress, training.message = 0.0, ""
            training.attempts -= 1
    return [training.id for training in trainings]


def cancel(session: Session, training_id: int) -> Training:
    """Cancel a training; a worker at it notices at its next heartbeat. Raises NotFound, Conflict."""
    training = find(session, training_id)
    session.refresh(training, with_for_update=True)
    if training.state in ("done", "failed"):
        raise Conflict(f"training {training_id} is {training.state} already", "nothing needs to be done")
    if training.state != "cancelled":
        _end(training, "cancelled", now(session))
    session.flush()
    return training


def _require_place(session: Session, spec: TrainingSpec) -> Model:
    """The training's model, whose task an update takes; raises NotFound, Conflict."""
    if spec.kind == "base":
        model = versions.open_model(session, spec.model, spec.task)
    else:
        model = versions.find_model(session, spec.model)
    versions.require_in_use(model)
    versions.find_channel(session, spec.model, spec.channel)
    latest = versions.head(session, spec.model, spec.channel)
    if spec.kind == "base" and latest is not None:
        raise Conflict(f"model {spec.model} has versions already", "train an update, or name another model")
    if spec.kind == "update" and latest is None:
        raise Conflict(f"model {spec.model} has no version yet", "train its base and publish that first")
    return model


def _claimable(moment: datetime) -> Select[Training]:
    free = or_(Training.state == "queued", Training.lease_until < moment)
    waiting = select(Training).where(UNFINISHED, free).order_by(*IN_TURN).limit(1)
    return waiting.with_for_update(skip_locked=True)


def _lease(training: Training, worker: str, lease_s: float, moment: datetime) -> None:
    training.state, training.worker = "running", worker
    training.attempts += 1
    training.started_at, training.progress, training.message = moment, 0.0, ""
    training.lease_seconds, training.lease_until = lease_s, moment + timedelta(seconds=lease_s)


def _end(training: Training, state: str, moment: datetime) -> None:
    training.state, training.finished_at, training.lease_until = state, moment, None


def _held(session: Session, training_id: int, worker: str) -> Training | None:
    held = select(Training).where(Training.id == training_id, Training.worker == worker, Training.state == "running")
    return session.scalars(held.with_for_update()).one_or_none()


def _change(engine: Engine, training_id: int, worker: str, change: Callable[[Training, datetime], None]) -> bool:
    with writing(engine) as session:
        training = _held(session, training_id, worker)
        if training is not None:
            change(training, now(session))
    return training is not None
