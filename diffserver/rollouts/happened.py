"""What happens to rollouts, as events for a webhook: told in the transaction in which it happens."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.events.outbox import new_event
from diffserver.storage.tables import Rollout, Version

Happened = Literal["proposed", "started", "stage_entered", "paused", "resumed", "aborted", "completed"]


def tell(session: Session, rollout: Rollout, what: Happened, by: str | None) -> None:
    """Write an event down; `by` is the name of who did it, None for the gate."""
    numbers = select(Version.digest, Version.number).where(
        Version.model == rollout.model, Version.digest.in_([rollout.from_digest, rollout.to_digest])
    )
    number = {row.digest: row.number for row in session.execute(numbers)}
    data = {
        "rollout": rollout.id,
        "model": rollout.model,
        "channel": rollout.channel,
        "from_version": number[rollout.from_digest],
        "to_version": number[rollout.to_digest],
        "state": rollout.state,
        "stage": rollout.stages[rollout.stage] if rollout.started_at else None,
        "stages": rollout.stages,
        "by": by,
        "reason": rollout.reason,
    }
    session.add(new_event(f"rollout.{what}", data, rollout.id))
