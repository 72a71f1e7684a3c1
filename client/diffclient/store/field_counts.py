"""Errors counted in the field: what the application found on its own labelled or confirmed audio, until it is told.

    <root>/field/counts.json   what has gathered: one count for each version and measure
    <root>/field/taken.json    counts that become reports; removed once these are kept with the device's state

Each count has its report's id from the start: one that is taken again after a power cut is the same report, and a
server keeps it once. Counting needs the lock of this folder alone, so that it never waits for an update. Making
reports of the counts is left to `update`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from diffclient import bounds, durable
from diffclient.bounds import Number
from diffclient.errors import StateError
from diffclient.measure.error_count import COUNT_LIMIT
from diffclient.network.report import Count, Digest, Instant, Measure, ReportId
from diffclient.strict_json import parse

PAIRS_LIMIT = 8
"""Versions and measures that are counted at a time; beyond it, the one that was counted longest ago is dropped."""


@dataclass(frozen=True)
class FieldCount:
    """Errors of a version, and how many things were counted; there may be more errors than things."""

    digest: Digest
    errors: Count
    total: Annotated[int, Number(1, COUNT_LIMIT)]
    measure: Measure | None
    report_id: ReportId
    counted_at: Instant
    """When something was counted last, in seconds since 1970."""


def record(folder: Path, digest: str, errors: int, total: int, measure: str | None = None) -> FieldCount:
    """Add errors of the version `digest` to what the server will be told; return what has gathered of it.

    `folder` is the store's. `measure` names what was counted, if it is not the model's metric. Any process or thread
    may count at any time; once this returns, a power cut loses nothing. Raises ValueError on what is no such count,
    and NoSpace, StoreFailed.
    """
    new = FieldCount(digest, errors, total, measure, uuid.uuid4().hex, max(0, int(time.time())))
    for name, allowed in bounds.allowed(FieldCount).items():
        if not allowed.holds(getattr(new, name)):
            raise ValueError(f"{name} is {getattr(new, name)!r}, and not {allowed}")
    durable.make_folder(_room(folder))
    with _locked(folder):
        counts = _read(_gathering(folder))
        before = next((count for count in counts if _adds_up(count, new)), None)
        if before:
            new = replace(new, errors=before.errors + errors, total=before.total + total, report_id=before.report_id)
        others = [count for count in counts if count != before]
        _write(_gathering(folder), (*others, new)[-PAIRS_LIMIT:])
    return new


def take(folder: Path) -> tuple[FieldCount, ...]:
    """Return counts that shall become reports; the same ones until `told`.

    Raises NoSpace, and StoreFailed, also while someone is counting: an update does not wait for that.
    """
    if not durable.exists(_room(folder)):
        return ()
    with _locked(folder, fcntl.LOCK_NB):
        durable.remove(_gathering(folder).with_suffix(".json.new"))
        if not durable.exists(_taken(folder)) and durable.exists(_gathering(folder)):
            durable.rename(_gathering(folder), _taken(folder))
    return _read(_taken(folder))


def told(folder: Path) -> None:
    """Forget the counts that were taken: their reports are kept elsewhere. Raises StoreFailed."""
    durable.remove(_taken(folder))


@contextlib.contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Lock the counts against other processes and threads; raises StoreFailed if that must not wait, and has to."""
    path = _room(folder) / "lock"
    with durable.disk_errors(path):
        lock = path.open("ab")
    with lock:
        with durable.disk_errors(path):
            fcntl.flock(lock, fcntl.LOCK_EX | how)
        yield


def _adds_up(count: FieldCount, new: FieldCount) -> bool:
    same = (count.digest, count.measure) == (new.digest, new.measure)
    return same and max(count.errors + new.errors, count.total + new.total) <= COUNT_LIMIT


def _read(path: Path) -> tuple[FieldCount, ...]:
    """Return the counts in a file: none where there is no file, or where its disk damaged it."""
    if not durable.exists(path):
        return ()
    with durable.disk_errors(path):
        data = path.read_bytes()
    with contextlib.suppress(StateError):
        items = parse(data, path.name, StateError).objects("counts", PAIRS_LIMIT)
        return tuple(bounds.read(FieldCount, item) for item in items)
    return ()


def _write(path: Path, counts: Sequence[FieldCount]) -> None:
    durable.write_file(path, json.dumps({"counts": [asdict(count) for count in counts]}, indent=1).encode())


def _room(folder: Path) -> Path:
    return folder / "field"


def _gathering(folder: Path) -> Path:
    return _room(folder) / "counts.json"


def _taken(folder: Path) -> Path:
    return _room(folder) / "taken.json"
