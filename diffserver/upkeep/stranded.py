"""Devices that would be stranded: by what they hold, those whose way to their version needs a diff that is to go.

They would take a snapshot in its place, if their policy allows one. Dropping diffs is left to `trust.releases`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diffserver.catalog.update_path import Arriving, Edge, arriving, plan
from diffserver.errors import NoPath
from diffserver.rollouts.target import on_its_way
from diffserver.storage.tables import Channel, Device, Rollout, Step, Version


@dataclass(frozen=True)
class Stranded:
    """A number of devices of a channel that hold a version, and the bytes that they would fetch, now and then.

    `bytes_then` is None where nothing would lead to their version any more.
    """

    channel: str
    version: int
    devices: int
    bytes_now: int
    bytes_then: int | None


def stranded(session: Session, model: str, before: int) -> list[Stranded]:
    """Return whom the diffs to versions before `before` lead on today, and what they would fetch without these."""
    versions = select(Version.digest, Version.number).where(Version.model == model)
    numbers = {row.digest: row.number for row in session.execute(versions)}
    steps = select(Step.from_digest, Step.to_digest, Step.length).where(Step.model == model)
    edges = [Edge(*row) for row in session.execute(steps)]
    left = [edge for edge in edges if edge.from_digest is None or numbers[edge.to_digest] >= before]
    today, later = arriving(edges), arriving(left)
    targets = _targets(session, model)
    found = []
    for channel, digest, devices in _held(session, model):
        ways = [(_bytes(today, digest, to), _bytes(later, digest, to)) for to in targets.get(channel, ())]
        lost = [(now, then) for now, then in ways if now is not None and then != now]
        if lost and digest in numbers:
            now, then = max(lost, key=lambda way: (way[1] is None, way[1]))
            found.append(Stranded(channel, numbers[digest], devices, now, then))
    return found


def _held(session: Session, model: str) -> Iterator[tuple[str, str, int]]:
    """Yield the number of devices in service by their channel and what they hold."""
    by = (Device.channel, Device.digest)
    here = (Device.model == model, Device.left_at.is_(None), Device.digest.is_not(None))
    for channel, digest, devices in session.execute(select(*by, func.count()).where(*here).group_by(*by).order_by(*by)):
        yield channel, digest or "", devices


def _targets(session: Session, model: str) -> dict[str, set[str]]:
    """Return the versions to which devices are led, by channel: where it stands, and where a rollout goes."""
    rows = select(Channel.name, Channel.digest, Rollout.to_digest).outerjoin(Rollout, on_its_way())
    return {name: {to for to in leads if to} for name, *leads in session.execute(rows.where(Channel.model == model))}


def _bytes(steps: Arriving, held: str, to: str) -> int | None:
    try:
        return sum(edge.length for edge in plan(steps, held, to))
    except NoPath:
        return None
