"""Deliver events while a server runs: one replica at a time sends what is due, and the first failure ends its turn.

An event is sent at least once: a process that dies between the receiver's answer and the row sends it again, under
the same id.
"""

from __future__ import annotations

from sqlalchemy import Engine

from diffserver.errors import Undelivered
from diffserver.events import outbox
from diffserver.events.webhook import send
from diffserver.logs import Log
from diffserver.settings import Webhook
from diffserver.storage import leases
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Event

LEASE = "webhook"
LEASE_SECONDS = 60.0
"""Longer than any one delivery takes."""

PASS_SECONDS = 5.0
"""So often a server looks for events."""


def deliver(engine: Engine, webhook: Webhook, holder: str, log: Log) -> None:
    """Send what is due, in order, unless another replica does."""
    while _due(engine) is not None and leases.claim(engine, LEASE, holder, LEASE_SECONDS):
        event = _due(engine)  # again: another replica may have sent it before the lease came here
        if event is None or not _deliver(engine, webhook, event, log):
            return


def _due(engine: Engine) -> Event | None:
    with reading(engine) as session:
        return outbox.next_due(session, utc_now())


def _deliver(engine: Engine, webhook: Webhook, event: Event, log: Log) -> bool:
    try:
        send(webhook, event)
        why = None
    except Undelivered as error:
        why = error.detail
        log.warning("event was not delivered", message_id=event.message_id, type=event.type, error=why)
    with writing(engine) as session:
        row = session.get(Event, event.id)
        if row is not None:
            outbox.delivered(row, utc_now()) if why is None else outbox.failed(row, why, utc_now())
    return why is None
