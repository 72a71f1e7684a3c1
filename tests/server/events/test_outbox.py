"""When events are due: in the order of each rollout, after a wait that grows, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffserver.events import outbox
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Event


def put(session: Session, *rollouts: int | None) -> list[Event]:
    events = [outbox.new_event("rollout.started", {}, rollout) for rollout in rollouts]
    for event in events:
        session.add(event)
        session.flush()
    return events


def due(session: Session, after: timedelta = timedelta(0)) -> Event | None:
    session.flush()
    return outbox.next_due(session, utc_now() + after)


def test_events_are_due_in_their_order(engine: Engine) -> None:
    with writing(engine) as session:
        first, second = put(session, 1, 1)
        assert due(session) is first
        outbox.delivered(first, utc_now())
        assert due(session) is second
        outbox.delivered(second, utc_now())
        assert due(session) is None


def test_an_event_that_failed_holds_back_its_own_rollout_alone(engine: Engine) -> None:
    with writing(engine) as session:
        first, _, other = put(session, 1, 1, 2)
        outbox.failed(first, "the receiver answered 500", utc_now())
        assert due(session) is other
        outbox.delivered(other, utc_now())
        assert due(session) is None
        assert due(session, outbox.FIRST_WAIT) is first


def test_events_of_no_rollout_hold_back_none(engine: Engine) -> None:
    with writing(engine) as session:
        first, second = put(session, None, None)
        outbox.failed(first, "why", utc_now())
        assert due(session) is second


def test_an_event_that_is_too_old_is_given_up_and_holds_back_nothing(engine: Engine) -> None:
    with writing(engine) as session:
        first, second = put(session, 1, 1)
        first.created_at -= outbox.GIVEN_UP_AFTER
        assert due(session) is second
        assert outbox.waiting(session) == outbox.Waiting(waiting=1, given_up=1)


@pytest.mark.parametrize(("tries", "seconds"), [(1, 10), (2, 40), (3, 160), (4, 640), (5, 2560), (6, 3600), (99, 3600)])
def test_the_wait_grows_up_to_an_hour(tries: int, seconds: int) -> None:
    assert outbox.wait_after(tries) == timedelta(seconds=seconds)
