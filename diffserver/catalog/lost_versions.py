"""Numbers of versions that were lost: published after a backup, then on devices, and unknown once it is restored."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.catalog import versions
from diffserver.storage.tables import Candidate, Model

EACH, SPARE = timedelta(hours=1), 16
"""No more versions are published than one in each of these, and so many."""


def leave_room(session: Session, model: Model, elapsed: timedelta) -> int:
    """Leave free the numbers that versions published within that time may have; returns the next number.

    Candidates that are open get it.
    """
    before = versions.next_number(session, model.name)
    model.least_next = before + elapsed // EACH + SPARE
    waiting = select(Candidate).where(Candidate.model == model.name, Candidate.state == "open")
    for candidate in session.scalars(waiting.where(Candidate.number == before)):
        candidate.number = model.least_next
        if candidate.manifest:  # a fully retrained model has none
            candidate.manifest = {**candidate.manifest, "to_version": model.least_next}
    session.flush()
    return model.least_next
