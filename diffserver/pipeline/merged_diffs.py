"""Short cuts: merged diffs to a new version from versions before its parent, where they are cheaper than the chain.

They are made with the candidate, so that publishing it stays one quick transaction and every step's manifest is
fixed then. They lead from the last versions, and from earlier ones that devices hold at that time. A short cut is kept
only if the device's own code reaches the version's digest by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from diffclient.diff.apply import apply
from diffclient.diff.merge import merge
from diffclient.diff.streams import Diff
from diffclient.errors import MergeError, PayloadError
from diffclient.payload.decode import decode, open_payload
from diffclient.payload.encode import encode
from diffclient.release.manifest import Blob
from diffclient.tensors.snapshot import Snapshot, Table
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewShortcut
from diffserver.catalog.update_path import Edge, arriving, plan
from diffserver.pipeline.job_context import TRAINING_SHARE, Work
from diffserver.pipeline.parent_version import Parent
from diffserver.storage.database import reading
from diffserver.storage.patience import patient
from diffserver.storage.tables import Device, Payload, Step, Version
from diffserver.training.new_version import NewVersion

REACH = 8
"""The most versions that a short cut spans from a version that no device holds."""

FARTHEST = 40
"""The most versions that any short cut spans; devices further back take two, or a snapshot."""


@dataclass(frozen=True)
class Link:
    """A published step from a version to the one after it, and that version's snapshot."""

    number: int
    digest: str
    snapshot: Blob
    payload: bytes


def make(work: Work, engine: Engine, parent: Parent, version: NewVersion) -> tuple[NewShortcut, ...]:
    """Return the short cuts to a version that are cheaper than other steps; none where its diff is no plain sum."""
    if version.payload is None or version.kind != "sparse":
        return ()
    links, edges, starts = _published(engine, work.spec.model, parent)
    edges += [
        Edge(parent.digest, version.digest, len(version.payload)),
        Edge(None, version.digest, version.weights.stat().st_size),
    ]
    table, shortcuts = parent.snapshot.table, list[NewShortcut]()
    total = decode(version.payload, table, parent.digest)
    for link in reversed(links):
        merged = _merged(link, total, table)
        if merged is None:
            break
        total = merged
        if link.digest not in starts:
            continue
        data = encode(total, table, link.digest)
        cheapest = sum(edge.length for edge in plan(arriving(edges), link.digest, version.digest))
        if len(data) < cheapest and _arrives(work, link, data, version.digest):
            shortcuts.append(NewShortcut(link.digest, link.number, data))
            edges.append(Edge(link.digest, version.digest, len(data)))
    return tuple(shortcuts)


@patient
def _published(engine: Engine, model: str, parent: Parent) -> tuple[Sequence[Link], list[Edge], set[str]]:
    """Return the steps to the parent, as far back as short cuts lead, all steps, and where short cuts may start."""
    with reading(engine) as session:
        lineage = versions.lineage(session, versions.find_version(session, model, parent.number))[-FARTHEST:]
        starts = _held(session, model) | {version.digest for version in lineage[-REACH:]}
        first = next(place for place, version in enumerate(lineage) if version.digest in starts)
        return _links(session, lineage[first:]), _edges(session, model), starts


def _held(session: Session, model: str) -> set[str]:
    """Return what devices in service hold."""
    here = (Device.model == model, Device.left_at.is_(None), Device.digest.is_not(None))
    return {digest for digest in session.scalars(select(Device.digest).where(*here).distinct()) if digest}


def _links(session: Session, lineage: Sequence[Version]) -> Sequence[Link]:
    """Return the steps along a line of versions, one a version, as far back as diffs lead."""
    links: list[Link] = []
    for before, after in pairwise(lineage):
        blob = after.candidate.payload
        if blob is None:  # delivered whole, with a table of its own: no diff leads across it
            links.clear()
            continue
        data = session.scalar(select(Payload.data).where(Payload.sha256 == blob.sha256))
        links.append(Link(before.number, before.digest, before.candidate.snapshot, data or b""))
    return links


def _edges(session: Session, model: str) -> list[Edge]:
    rows = session.execute(select(Step.from_digest, Step.to_digest, Step.length).where(Step.model == model))
    return [Edge(*row) for row in rows]


def _merged(link: Link, later: Diff, table: Table) -> Diff | None:
    """Return a step and the diff after it as one diff; None if kind or format cannot be merged."""
    try:
        return merge([decode(link.payload, table, link.digest), later], table)
    except (MergeError, PayloadError):
        return None


def _arrives(work: Work, link: Link, data: bytes, digest: str) -> bool:
    """Tell whether a device at the link's version gets the expected digest."""
    work.on_progress(TRAINING_SHARE, f"tries the short cut from version {link.number}")
    start, end = work.folder / f"from-{link.number}.safetensors", work.folder / f"short-cut-{link.number}.safetensors"
    try:
        snapshot = Snapshot(work.objects.download(link.snapshot.sha256, start))
        return apply(snapshot, [open_payload(data, snapshot.table, link.digest)], end) == digest
    finally:
        start.unlink(missing_ok=True)
        end.unlink(missing_ok=True)
