"""Figures that the database holds: of devices, rollouts, trainings, workers, metadata and events.

They are read when Prometheus asks, at most every `FRESH_SECONDS`; each query reads an index, or rows of which there
are few. What devices report is counted by each process as it comes, since counting those rows would read all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from diffserver.catalog.workers import workforce
from diffserver.events import outbox
from diffserver.rollouts.behind import amiss
from diffserver.rollouts.records import UNDER_WAY
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading
from diffserver.storage.fresh import Fresh
from diffserver.storage.tables import Channel, Device, Rollout, Version
from diffserver.trust import metadata_rows

FRESH_SECONDS = 15.0
"""For so long the database is not asked again, however many ask."""

AMISS = {
    "behind": "Devices that run another version than they shall, or none.",
    "stuck": "Devices that are silent in the middle of an update, or behind for days.",
    "failed": "Devices whose last update failed.",
}

Place = tuple[str, str]
"""A model and a channel."""


class FleetFigures(Collector):
    """The figures, as of some seconds ago; a device may be silent for `longest` in the middle of an update."""

    def __init__(self, engine: Engine, longest: timedelta, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._engine, self._longest = engine, longest
        self._figures = Fresh(self._read, fresh_seconds)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return all families."""
        return self._figures.get()

    def _read(self) -> list[GaugeMetricFamily]:
        with reading(self._engine) as session:
            return [
                _devices(session),
                *_amiss(session, self._longest),
                *_rollouts(session),
                *_work(session),
                _expiry(session),
                _events(session),
            ]


def _devices(session: Session) -> GaugeMetricFamily:
    counted = select(Device.model, Device.channel, Device.digest, func.count()).where(Device.left_at.is_(None))
    rows = session.execute(select(Version.model, Version.digest, Version.number))
    numbers = {(model, digest): str(number) for model, digest, number in rows}
    versions: Counter[tuple[str, str, str]] = Counter()
    for model, channel, digest, count in session.execute(counted.group_by(Device.model, Device.channel, Device.digest)):
        versions[model, channel, "none" if digest is None else numbers.get((model, digest), "unknown")] += count
    return _family("devices", "Devices that have not left.", ["model", "channel", "version"], versions.items())


def _amiss(session: Session, longest: timedelta) -> Iterator[GaugeMetricFamily]:
    """Yield how many devices are behind, stuck and failed, as lists of devices have it; 0 for channels without."""
    places: list[Place] = [(row.model, row.name) for row in session.execute(select(Channel.model, Channel.name))]
    counts = {what: Counter(dict.fromkeys(places, 0)) for what in AMISS}
    for model in sorted({model for model, _ in places}):
        for what, condition in amiss(session, model, utc_now(), longest).items():
            counted = select(Device.channel, func.count()).where(condition).group_by(Device.channel)
            counts[what].update({(model, channel): count for channel, count in session.execute(counted)})
    for what, about in AMISS.items():
        yield _family(f"devices_{what}", about, ["model", "channel"], counts[what].items())


def _rollouts(session: Session) -> Iterator[GaugeMetricFamily]:
    counted = select(Rollout.state, func.count()).group_by(Rollout.state)
    states = {(state,): count for state, count in session.execute(counted)}
    yield _family("rollouts", "Rollouts, those too that have ended.", ["state"], states.items())
    columns = select(Rollout.model, Rollout.channel, Rollout.state, Rollout.stage, Rollout.started_at)
    rows = session.execute(columns.where(Rollout.state.in_(UNDER_WAY)))
    stages = {(model, channel, state): stage + 1 if began else 0 for model, channel, state, stage, began in rows}
    about = "The stage of a rollout under way, from 1; 0 until it begins."
    yield _family("rollout_stage", about, ["model", "channel", "state"], stages.items())


def _work(session: Session) -> Iterator[GaugeMetricFamily]:
    force = workforce(session)
    there = {("busy",): len(force.busy), ("idle",): len(force.there) - len(force.busy)}
    yield _family("trainings_waiting", "Trainings that nobody is at.", [], [((), len(force.waiting))])
    yield _family("workers", "Workers that are there; those that are busy train.", ["state"], there.items())


def _expiry(session: Session) -> GaugeMetricFamily:
    moment = utc_now()
    left = {(role,): (expires - moment).total_seconds() for role, _, expires in metadata_rows.expiries(session)}
    return _family("metadata_expires_seconds", "Seconds until signed metadata expires.", ["role"], left.items())


def _events(session: Session) -> GaugeMetricFamily:
    outgoing = outbox.waiting(session)
    counts = {("waiting",): outgoing.waiting, ("given up",): outgoing.given_up}
    return _family("events", "Events that the webhook did not take yet, or at all.", ["state"], counts.items())


def _family(
    name: str, about: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"diffserver_{name}", about, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
