"""The ledger of bytes: what devices fetched for each version, against a snapshot for each of them.

What devices fetched is what their reports say: payloads, graph and parts of the probe set, of updates that failed too.
Metadata is in no report: it is reckoned, once for each device that installed the version. Polls, reports and the
headers of HTTP are not counted, nor are reports that were pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, distinct, func, select
from sqlalchemy.orm import Session

from diffserver.storage.tables import FIELD, Device, Report, Version


@dataclass(frozen=True)
class Entry:
    """A version's line: devices that installed it, and bytes."""

    number: int
    devices: int
    fetched: int
    metadata: int
    snapshots: int
    """What a snapshot for each of those devices would have taken."""


@dataclass(frozen=True)
class Ledger:
    """The lines of a model's versions, by number, and their sums."""

    versions: Sequence[Entry]

    @property
    def fetched(self) -> int:
        """Bytes that devices said they fetched."""
        return sum(entry.fetched for entry in self.versions)

    @property
    def metadata(self) -> int:
        """Bytes of metadata, reckoned."""
        return sum(entry.metadata for entry in self.versions)

    @property
    def snapshots(self) -> int:
        """Bytes of a snapshot for each device and version."""
        return sum(entry.snapshots for entry in self.versions)


def ledger(session: Session, model: str) -> Ledger:
    """Return a model's ledger, in one query."""
    installed = case((Report.stage == "installed", Report.device_id))
    sums = (
        select(
            Report.to_digest,
            func.count(distinct(installed)).label("devices"),
            func.sum(Report.downloaded_bytes).label("fetched"),
        )
        .join(Device, Device.id == Report.device_id)
        .where(Device.model == model, Report.stage != FIELD)
        .group_by(Report.to_digest)
        .subquery()
    )
    rows = session.execute(
        select(Version, sums.c.devices, sums.c.fetched)
        .join(sums, sums.c.to_digest == Version.digest)
        .where(Version.model == model)
        .order_by(Version.number)
    )
    return Ledger(
        [
            Entry(
                version.number,
                devices,
                int(fetched),
                devices * (version.metadata_bytes or 0),
                devices * version.candidate.snapshot.length,
            )
            for version, devices, fetched in rows
        ]
    )
