"""Devices that are enrolled by one statement of PostgreSQL, each known by its number: a fleet of any size in seconds.

Every one of them holds the newest version, has polled before, and says the same at each poll.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

MODEL = "speech"
CLIENT = "diffclient/0.0"

DEVICES = """
INSERT INTO devices (id, model, name, channel, digest, client, boot, enrolled_at, last_seen)
SELECT lpad(to_hex(n), 24, '0'), :model, 'device', 'stable', :digest, :client, lpad(to_hex(n), 32, '0'),
       now() - interval '1 day', now() - interval '1 hour'
FROM generate_series(:first, :first + :count - 1) AS n
"""

TOKENS = """
INSERT INTO tokens (role, name, sha256, device_id, used, created_at)
SELECT 'device', 'device', encode(sha256(convert_to('ds_device_' || lpad(to_hex(n), 32, '0'), 'UTF8')), 'hex'),
       lpad(to_hex(n), 24, '0'), 0, now() - interval '1 day'
FROM generate_series(:first, :first + :count - 1) AS n
"""

VARIETY = (
    "UPDATE devices SET digest = :before WHERE id LIKE '%0'",
    "UPDATE devices SET stage = 'fetching' WHERE id LIKE '%c0'",
    "UPDATE devices SET outcome = 'failed' WHERE id LIKE '%10'",
    "UPDATE devices SET left_at = now() WHERE id LIKE '%ff'",
    "INSERT INTO device_attributes (device_id, name, value) "
    "SELECT id, 'region', CASE WHEN id LIKE '%000' THEN 'no' ELSE 'eu' END FROM devices",
    "INSERT INTO reports (device_id, stage, to_digest, downloaded_bytes, report_id, created_at) "
    "SELECT id, 'installed', digest, 1000, lpad(id, 32, '0'), now() - interval '2 days' FROM devices",
    "INSERT INTO reports (device_id, stage, to_digest, errors, total, downloaded_bytes, created_at) "
    "SELECT id, 'field', digest, 1, 20, 0, now() - interval '1 day' FROM devices",
)
"""Some are behind, in the middle of an update, failed, gone, or of another region; all have reported."""

LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local n = -1
request = function()
  n = (n + 1) % {tokens}
  local number = string.format("%032x", n)
  wrk.headers["Authorization"] = "Bearer ds_device_" .. number
  return wrk.format(nil, "{path}", nil, string.format({body}, number))
end
done = function(summary, latency, requests)
  io.write(string.format("rate=%f errors=%d p99_ms=%f\\n", summary.requests / summary.duration * 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(99) / 1e3))
end
"""
"""A script of wrk: requests of one device after the other; the body is a format of the device's number."""


def token_of(number: int) -> str:
    """Return the token of a device."""
    return f"ds_device_{number:032x}"


def poll_of(number: int, digest: str) -> dict[str, object]:
    """Return what a device says at each poll."""
    held = {"digest": digest, "previous": None, "stage": None}
    return held | {"client": CLIENT, "boot": f"{number:032x}", "full_fallback": True}


def enrol(session: Session, count: int, digest: str, model: str = MODEL, first: int = 0) -> None:
    """Enrol so many devices of a model that hold a version, numbered from `first`."""
    numbers = {"count": count, "first": first}
    session.execute(text(DEVICES), numbers | {"model": model, "digest": digest, "client": CLIENT})
    session.execute(text(TOKENS), numbers)


def vary(session: Session, before: str) -> None:
    """Let some devices hold the version before, and more: see `VARIETY`."""
    for statement in VARIETY:
        session.execute(text(statement), {"before": before} if ":before" in statement else {})
