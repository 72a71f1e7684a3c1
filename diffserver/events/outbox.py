"""The outbox: events as rows, written in the transaction of what they tell of, until they are delivered or too old.

Events of one rollout are due in their order: while one waits to be tried again, those after it wait. Sending is left
to `webhook`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Event

GIVEN_UP_AFTER = timedelta(days=3)
"""An event that was not delivered by then is not tried again."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=1)
"""How long after a failure it is tried again: four times as long after each, up to the longest."""


@dataclass(frozen=True)
class Waiting:
    """How many events wait to be delivered, and how many of the rows that are left were given up."""

    waiting: int
    given_up: int


def new_event(type: str, data: dict[str, Any], rollout_id: int | None = None) -> Event:
    """Return an event that happens now, with an id of its own."""
    message_id = f"msg_{secrets.token_hex(16)}"
    return Event(message_id=message_id, type=type, data=data, rollout_id=rollout_id, created_at=utc_now())


def next_due(session: Session, moment: datetime) -> Event | None:
    """Return the event that is to be sent first, or None."""
    earlier = aliased(Event)
    held_back = select(earlier.id).where(
        earlier.rollout_id == Event.rollout_id, earlier.id < Event.id, _undelivered(earlier, moment)
    )
    due = select(Event).where(_undelivered(Event, moment), Event.next_try_at <= moment, ~held_back.exists())
    return session.scalar(due.order_by(Event.id).limit(1))


def delivered(event: Event, moment: datetime) -> None:
    """Write down that an event was delivered."""
    event.tries, event.delivered_at, event.error = event.tries + 1, moment, None


def failed(event: Event, why: str, moment: datetime) -> None:
    """Write down why an event was not delivered, and when it is tried again."""
    event.error, event.tries = why, event.tries + 1
    event.next_try_at = moment + wait_after(event.tries)


def wait_after(tries: int) -> timedelta:
    """Return how long to wait after so many tries, all in vain."""
    return min(FIRST_WAIT * (1 << 2 * min(tries - 1, 10)), LONGEST_WAIT)


def waiting(session: Session) -> Waiting:
    """Return the state of the outbox."""
    moment = utc_now()
    count = select(func.count()).select_from(Event)
    undelivered, gone = Event.delivered_at.is_(None), Event.created_at <= moment - GIVEN_UP_AFTER
    return Waiting(
        session.scalar(count.where(undelivered, ~gone)) or 0,
        session.scalar(count.where(undelivered, gone)) or 0,
    )


def latest(session: Session, limit: int) -> Sequence[Event]:
    """Return the latest events, the newest first."""
    return session.scalars(select(Event).order_by(Event.id.desc()).limit(limit)).all()


def _undelivered(event: type[Event], moment: datetime) -> ColumnElement[bool]:
    return event.delivered_at.is_(None) & (event.created_at > moment - GIVEN_UP_AFTER)
