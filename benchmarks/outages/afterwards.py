"""What is there when all is over: rows against what was acknowledged, and every version verified as a device would."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from benchmarks.outages.published import Published
from benchmarks.outages.topology import MODEL, StoredElsewhere
from deploy.loopback.topology import DIFFSERVER
from diffclient.diff.apply import apply
from diffclient.errors import DiffClientError
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Transport
from diffclient.payload.decode import open_payload
from diffclient.release.target_custom import read_facts
from diffclient.release.target_names import diff_name, snapshot_name
from diffclient.tensors.snapshot import Snapshot
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffserver.storage.database import reading
from diffserver.storage.tables import Candidate, Report, Training, Version


def reports(engine: Engine) -> Counter[tuple[str, str]]:
    """Return how often each report is in the table, by its device and its id."""
    with reading(engine) as session:
        rows = session.execute(select(Report.device_id, Report.report_id))
        return Counter((row.device_id, row.report_id or "") for row in rows)


def not_once(there: Mapping[tuple[str, str], int], acknowledged: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the reports of which a device was told that they are there, and that are not there exactly once."""
    told = {(device, report) for device, of_it in acknowledged.items() for report in of_it}
    times = {one: there.get(one, 0) for one in sorted(told)}
    return [f"report {one[1]} of {one[0]} is there {count} times" for one, count in times.items() if count != 1]


def training_states(engine: Engine) -> dict[int, str]:
    """Return the state of every training by its number."""
    with reading(engine) as session:
        return {row.id: row.state for row in session.execute(select(Training.id, Training.state))}


def half_published(topology: StoredElsewhere, engine: Engine, known: Sequence[Published], folder: Path) -> list[str]:
    """Return what is not whole: acknowledged versions that are missing, rows in between, bytes that do not verify."""
    with reading(engine) as session:
        rows = {row.number: row.digest for row in session.execute(select(Version.number, Version.digest))}
        published = set(session.scalars(select(Candidate.digest).where(Candidate.state == "published")))
        with_bytes = select(Candidate.id).where(Candidate.state == "published", Candidate.payload_data.is_not(None))
        in_between = [
            f"candidate {number} is published and keeps its payload" for number in session.scalars(with_bytes)
        ]
    missing = [f"version {one.number} is missing" for one in known if rows.get(one.number) != one.digest]
    apart = [f"{digest} is half a version, half a candidate" for digest in published ^ set(rows.values())]
    return [*missing, *apart, *in_between, *_damaged(topology), *_unverified(topology, rows, folder)]


def _damaged(topology: StoredElsewhere) -> list[str]:
    """Return what `diffserver verify` finds."""
    environment = os.environ | topology.environment
    done = subprocess.run([*DIFFSERVER, "verify", "--json"], env=environment, capture_output=True, check=False)
    found: Any = json.loads(done.stdout)
    return [f"{damage['what']} is {damage['problem']}" for damage in found["damage"]]


def _unverified(topology: StoredElsewhere, rows: Mapping[int, str], folder: Path) -> Iterator[str]:
    """Verify each version as a new device would: signatures, all bytes, and the digest by snapshot and by diff."""
    plant_root(folder / "trust", topology.root_file.read_bytes())
    transport = Transport()
    trust = Trust(folder / "trust", [topology.url + PATH], transport)
    trust.refresh()
    fetcher = Fetcher(transport, [topology.url], folder)
    for number, digest in sorted(rows.items()):
        try:
            found = _digests(trust, fetcher, number, folder)
        except (DiffClientError, OSError) as error:
            yield f"version {number}: {type(error).__name__}: {error}"
            continue
        if set(found) != {digest}:
            yield f"version {number} is {digest} in its row, and signed and fetched {found}"


def _digests(trust: Trust, fetcher: Fetcher, number: int, folder: Path) -> list[str]:
    """Return a version's digest: as signed, of its snapshot, and of its diff upon the version before."""
    whole = trust.get(snapshot_name(MODEL, number))
    facts = read_facts(whole.name, whole.custom)
    fetcher.fetch(whole.blob, folder / f"{number}.snapshot")
    for name in facts.objects:
        fetcher.fetch(trust.get(name).blob, folder / "object")
    digests = [facts.digest, Snapshot(folder / f"{number}.snapshot").digest()]
    if number:
        parent = Snapshot(folder / f"{number - 1}.snapshot")
        fetcher.fetch(trust.get(diff_name(MODEL, number, number - 1)).blob, folder / "payload")
        payload = open_payload((folder / "payload").read_bytes(), parent.table, parent.digest())
        digests.append(apply(parent, [payload], folder / f"{number}.applied"))
    return digests
