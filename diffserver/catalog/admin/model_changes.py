"""What becomes of models and candidates that no one wants: archived, or deleted where no device may need them.

Objects that no row names any longer are removed by `upkeep.prune`.
"""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from diffserver.catalog import versions
from diffserver.errors import Conflict
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Attribute, Candidate, Channel, Device, Model, Report, Shortcut, Token, Training

UNDER_WAY = ("queued", "running")


def archive(session: Session, name: str, archived: bool) -> Model:
    """Archive a model, or bring it back; its devices are served as before. Raises NotFound."""
    model = versions.find_model(session, name)
    model.archived_at = (model.archived_at or utc_now()) if archived else None
    session.flush()
    return model


def delete_model(session: Session, name: str) -> None:
    """Delete a model of which nothing was published and that no device follows. Raises NotFound, Conflict."""
    versions.find_model(session, name)
    model = session.get_one(Model, name, with_for_update=True)
    _require_unused(session, name)
    left = select(Device.id).where(Device.model == name)
    for of_device in (Attribute, Report, Token):
        session.execute(delete(of_device).where(of_device.device_id.in_(left)))
    candidates = select(Candidate.id).where(Candidate.model == name)
    session.execute(delete(Shortcut).where(Shortcut.candidate_id.in_(candidates)))
    for of_model in (Device, Training, Candidate, Channel):
        session.execute(delete(of_model).where(of_model.model == name))
    session.delete(model)
    session.flush()


def _require_unused(session: Session, model: str) -> None:
    if versions.newest(session, model) is not None:
        raise Conflict(f"devices may have versions of model {model}", f"archive it: diffserver model archive {model}")
    if session.scalars(select(Device.id).where(Device.model == model, Device.left_at.is_(None))).first() is not None:
        raise Conflict(
            f"devices are enrolled for model {model}", f"take them out of service: diffserver devices {model}"
        )
    waiting = select(Training.id).where(Training.model == model, Training.state.in_(UNDER_WAY))
    if (training := session.scalars(waiting).first()) is not None:
        raise Conflict(f"training {training} of model {model} is under way", f"diffserver cancel {training}")


def delete_candidate(session: Session, candidate_id: int) -> Candidate:
    """Delete a candidate that was not published, and return it as it was. Raises NotFound, Conflict."""
    candidate = versions.find_candidate(session, candidate_id)
    session.refresh(candidate, with_for_update=True)
    if candidate.state != "open":
        raise Conflict(
            f"candidate {candidate_id} is published, and devices may have it", f"diffserver recall {candidate.model}"
        )
    session.execute(update(Training).where(Training.candidate_id == candidate_id).values(candidate_id=None))
    session.execute(delete(Shortcut).where(Shortcut.candidate_id == candidate_id))
    session.delete(candidate)
    session.flush()
    return candidate
