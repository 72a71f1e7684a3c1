"""The rules of retention: which rows and objects go, by age and number. Pure.

No rule touches a published version, its steps, its payloads or their permissions.
Reading and removing are left to `prune`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice

from diffserver.storage.object_store import Stored


@dataclass(frozen=True)
class Aged:
    """A row that has an age, and the bytes that it takes."""

    id: int | str
    since: datetime
    bytes: int = 0


@dataclass(frozen=True)
class ReportRow(Aged):
    """A report of a device."""

    device_id: str = ""
    field: bool = False
    """Of errors in the field, not of an update."""


@dataclass(frozen=True)
class CandidateRow(Aged):
    """A candidate that no one has published."""

    model: str = ""
    number: int = 0
    full: bool = False
    """Retrained fully, for comparison."""
    domains: tuple[str, ...] = ()


def older(rows: Iterable[Aged], before: datetime) -> list[Aged]:
    """The rows from before a moment."""
    return [row for row in rows if row.since < before]


def stale_reports(newest_first: Iterable[ReportRow], before: datetime, each: int) -> list[Aged]:
    """Of each device, the reports from before a moment and those beyond `each`; never its last one.

    Reports of updates and those of the field are judged apart. The rows come device by device, first those of updates.
    """
    stale: list[Aged] = []
    for _, rows in groupby(newest_first, lambda row: (row.device_id, row.field)):
        earlier = islice(enumerate(rows), 1, None)
        stale += (row for place, row in earlier if row.since < before or place >= each)
    return stale


def stale_candidates(rows: Sequence[CandidateRow], heads: Mapping[str, int], before: datetime) -> list[Aged]:
    """Candidates from before a moment, but fully retrained models that the next training may go on from.

    `heads` are, by model, the lowest numbers of the versions that training goes on from.
    """
    latest = {(row.model, row.number, row.domains): row.id for row in sorted(rows, key=_id) if row.full}
    needed = {latest[key] for key in latest if key[1] >= heads.get(key[0], 0)}
    return [row for row in older(rows, before) if row.id not in needed]


def stale_objects(objects: Iterable[Stored], named: Collection[str], before: datetime) -> list[Stored]:
    """Objects from before a moment that no row names: a younger one may be an upload whose row is still to come."""
    return [item for item in objects if item.sha256 not in named and item.modified < before]


def _id(row: Aged) -> int:
    return int(row.id)
