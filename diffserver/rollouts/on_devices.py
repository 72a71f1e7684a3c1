"""What devices measured of a version: on its arrival, and in the field against the version that it was made from.

A device counts once. Only the latest reports are looked at, so a large fleet is answered as fast as a small one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diffserver.gate.percentiles import Percentiles, percentiles
from diffserver.storage.tables import FIELD, Device, Report, Version

LOOKED_AT = 10_000
"""Reports, the latest ones."""


@dataclass(frozen=True)
class OnDevices:
    """A version's error rates on arrival in percent, their difference to the manifest's, and changes in the field.

    Differences and changes are in points; changes are by channel.
    """

    arrival: Percentiles
    difference: Percentiles
    field: dict[str, Percentiles]


def on_devices(session: Session, version: Version) -> OnDevices:
    """Return what devices of its model measured of a version."""
    rates, expected = _arrivals(session, version), version.candidate.manifest["error_rate_ppm"] / 1e4
    changes = {channel: percentiles(values) for channel, values in sorted(_changes(session, version).items())}
    return OnDevices(percentiles(rates), percentiles([rate - expected for rate in rates]), changes)


def _arrivals(session: Session, version: Version) -> list[float]:
    rows = session.execute(
        select(Report.device_id, Report.error_rate_ppm)
        .join(Device, Device.id == Report.device_id)
        .where(
            Device.model == version.model,
            Report.to_digest == version.digest,
            Report.stage != FIELD,
            Report.error_rate_ppm.is_not(None),
        )
        .order_by(Report.id.desc())
        .limit(LOOKED_AT)
    )
    last: dict[str, int] = {}
    for device, rate in rows:
        last.setdefault(device, rate or 0)
    return [rate / 1e4 for rate in last.values()]


def _changes(session: Session, version: Version) -> dict[str, list[float]]:
    """Return the change of each device that counted both versions, in points, by its channel."""
    before = session.scalar(
        select(Version.digest).where(Version.model == version.model, Version.number == version.parent)
    )
    if before is None:
        return {}
    counted = (Report.stage == FIELD, Report.measure.is_(None))
    latest = select(Report.device_id).where(Report.to_digest == version.digest, *counted)
    latest = latest.order_by(Report.id.desc()).limit(LOOKED_AT)
    rows = session.execute(
        select(Device.channel, Report.device_id, Report.to_digest, func.sum(Report.errors), func.sum(Report.total))
        .join(Device, Device.id == Report.device_id)
        .where(
            Device.model == version.model,
            Report.to_digest.in_([before, version.digest]),
            Report.device_id.in_(select(latest.subquery().c.device_id)),
            *counted,
        )
        .group_by(Device.channel, Report.device_id, Report.to_digest)
    )
    rates: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for channel, device, digest, errors, total in rows:
        if digest and total:
            rates[channel, device][digest] = 100 * float(errors or 0) / float(total)
    changes: defaultdict[str, list[float]] = defaultdict(list)
    for (channel, _), rate in rates.items():
        if len(rate) == 2:
            changes[channel].append(rate[version.digest] - rate[before])
    return changes
