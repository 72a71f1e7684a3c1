"""Repairs: damaged bytes are put back from files that have their digest, or made again as devices make them.

A snapshot follows from another one and a payload; a payload, a graph or a part of the probe set follows from nothing.
What is put back has the digest that its name says, whatever it was made of. Damaged objects that no row names are
removed.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from diffclient.diff.apply import apply
from diffclient.errors import DiffClientError
from diffclient.payload.decode import open_payload
from diffclient.release.manifest import Blob
from diffclient.tensors.snapshot import Snapshot
from diffserver.errors import BlobCorrupt, NotFound
from diffserver.storage.database import reading, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate, Payload, Step
from diffserver.upkeep.damage import Damage
from diffserver.upkeep.named_bytes import Held


@dataclass(frozen=True)
class Way:
    """A way from one snapshot to another by a payload."""

    start: Blob
    start_digest: str
    end: Blob
    end_digest: str
    payload_sha256: str
    what: str


def repair(
    engine: Engine, objects: Objects, damages: Sequence[Damage], sources: Sequence[Path], work: Path | None
) -> dict[Damage, str]:
    """Mend what can be mended; returns what was done, by damage. Files in between go to a folder below `work`."""
    done = {}
    for damage, path in _matches(damages, _files_of(sources)):
        _put_back(engine, objects, damage, path)
        done[damage] = f"put back from {path}"
    with tempfile.TemporaryDirectory(prefix="repair-", dir=work) as folder:
        done |= _make_again(engine, objects, [damage for damage in damages if damage not in done], Path(folder))
    for damage in damages:
        if damage.bytes.what is None:
            objects.remove(damage.bytes.sha256)
            done[damage] = "removed: no row names it"
    return done


def _files_of(sources: Iterable[Path]) -> Iterator[Path]:
    for source in sources:
        yield from (path for path in sorted(source.rglob("*")) if path.is_file()) if source.is_dir() else (source,)


def _matches(damages: Sequence[Damage], files: Iterable[Path]) -> Iterator[tuple[Damage, Path]]:
    """Pair damaged bytes with files that have their digest; only files of a fitting length are read."""
    lengths = {damage.bytes.length for damage in damages}
    for path in files:
        if path.stat().st_size in lengths or None in lengths:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            yield from ((damage, path) for damage in damages if damage.bytes.sha256 == sha256)


def _put_back(engine: Engine, objects: Objects, damage: Damage, path: Path) -> None:
    held = damage.bytes
    if not isinstance(held, Held):
        objects.put(path)
        return
    data = path.read_bytes()
    with writing(engine) as session:
        if held.column is Payload.data:
            session.merge(Payload(sha256=held.sha256, length=len(data), data=data))
        else:
            session.execute(update(held.column.class_).where(held.where).values({held.column: data}))


def _make_again(engine: Engine, objects: Objects, damages: Sequence[Damage], folder: Path) -> dict[Damage, str]:
    """Make snapshots from sound ones until nothing more follows: one that was made again may lead to others."""
    lost = {damage.bytes.sha256: damage for damage in damages if not isinstance(damage.bytes, Held)}
    with reading(engine) as session:
        ways = [way for way in _ways(session) if way.end.sha256 in lost]
    done: dict[Damage, str] = {}
    while way := next((way for way in ways if way.end.sha256 in lost and way.start.sha256 not in lost), None):
        ways.remove(way)
        if _follow(way, engine, objects, folder):
            done[lost.pop(way.end.sha256)] = f"made again from {way.what}"
    return done


def _ways(session: Session) -> Iterator[Way]:
    """All ways from snapshot to snapshot: published steps, and candidates with payloads."""
    snapshots = {row.digest: row.snapshot for row in session.execute(select(Candidate.digest, Candidate.snapshot))}
    steps = select(Step.from_digest, Step.to_digest, Step.manifest).where(Step.from_digest.is_not(None))
    for start, end, manifest in session.execute(steps):
        payload = manifest["payload"]["sha256"]
        what = f"version {manifest['from_version']} and payload {payload[:12]}"
        yield Way(snapshots[start or ""], start or "", snapshots[end], end, payload, what)
    columns = (Candidate.parent_digest, Candidate.digest, Candidate.payload_sha256, Candidate.id)
    trained = select(*columns).where(Candidate.state == "open", Candidate.payload_sha256.is_not(None))
    for start, end, sha256, number in session.execute(trained):
        if start is not None and start in snapshots:
            yield Way(snapshots[start], start, snapshots[end], end, sha256 or "", f"the payload of candidate {number}")


def _follow(way: Way, engine: Engine, objects: Objects, folder: Path) -> bool:
    """Go a way with the device's own code, and store the snapshot if it is the very one that was lost."""
    start, end = folder / "start.safetensors", folder / "end.safetensors"
    try:
        snapshot = Snapshot(objects.download(way.start.sha256, start))
        payload = open_payload(_payload(engine, way.payload_sha256), snapshot.table, way.start_digest)
        if apply(snapshot, [payload], end) != way.end_digest:
            return False
        with end.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == way.end.sha256
        return same and objects.put(end) == way.end
    except (DiffClientError, NotFound, BlobCorrupt):
        return False
    finally:
        start.unlink(missing_ok=True)
        end.unlink(missing_ok=True)


def _payload(engine: Engine, sha256: str) -> bytes:
    """A payload's bytes, as whoever may have them, verified; raises NotFound, BlobCorrupt."""
    with reading(engine) as session:
        data = session.scalar(select(Payload.data).where(Payload.sha256 == sha256)) or session.scalar(
            select(Candidate.payload_data).where(Candidate.payload_sha256 == sha256, Candidate.state == "open").limit(1)
        )
    if data is None:
        raise NotFound(f"there is no payload {sha256}")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BlobCorrupt(f"payload {sha256} holds other bytes")
    return data
