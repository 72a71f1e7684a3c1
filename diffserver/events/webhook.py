"""Send one event to the webhook, in the form of Standard Webhooks: signed, once, and bounded in time.

The receiver's body is not read, and no redirect is followed. When to try again is left to `outbox`.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

import httpx2
from standardwebhooks import Webhook as Signer

from diffserver import __version__
from diffserver.errors import Undelivered
from diffserver.settings import Webhook
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Event

SECONDS = 10.0
"""A receiver has so long to answer, from the look-up of its name to the end of its headers."""


def send(webhook: Webhook, event: Event) -> int:
    """Send an event; return the status, of 200 to 299, with which it was taken. Raises Undelivered."""
    try:
        status = asyncio.run(_post(webhook, event))
    except TimeoutError as error:
        raise Undelivered(f"{webhook.host} did not answer in {SECONDS:g} seconds") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        raise Undelivered(f"{webhook.host} can't be reached: {error or type(error).__name__}") from error
    if not 200 <= status < 300:
        raise Undelivered(f"{webhook.host} answered {status}")
    return status


def body_of(event: Event) -> str:
    """Return the body: the same at every try."""
    said = {"type": event.type, "timestamp": event.created_at.isoformat(), "data": event.data}
    return json.dumps(said, separators=(",", ":"))


def headers_of(webhook: Webhook, event: Event, body: str, moment: datetime) -> dict[str, str]:
    """Return the headers of a try: its id and moment, and the signature over both and the body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"diffserver/{__version__}",
        "webhook-id": event.message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Signer(webhook.secret).sign(event.message_id, moment, body),
    }


async def _post(webhook: Webhook, event: Event) -> int:
    body = body_of(event)
    headers = headers_of(webhook, event, body, utc_now())
    # One limit on the whole: a receiver that sends a byte now and then would never meet one on each read.
    async with (
        asyncio.timeout(SECONDS),
        httpx2.AsyncClient(follow_redirects=False, timeout=None) as client,
        client.stream("POST", webhook.url, content=body.encode(), headers=headers) as response,
    ):
        return response.status_code
