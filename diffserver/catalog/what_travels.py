"""What a device at the parent fetches for a version, by its parts, and what the probe set in it can tell.

Poll and answer, some hundred bytes, are not counted, nor are HTTP's headers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from diffclient.measure.probation import chance_to_pass
from diffclient.release.manifest import Manifest, from_json
from diffclient.store.state import objects
from diffserver.storage.tables import Candidate, Version

ERRING = 0.1
"""The share of what it should get right that a model gets wrong whose chance to pass is told."""


@dataclass(frozen=True)
class ToFetch:
    """Bytes that a device at the parent fetches; for a base, those that a device without any version fetches."""

    payload: int
    """Of the payload; where there is none, of the snapshot."""
    graph: int
    probes: int
    """Of the parts of the probe set that the parent does not have."""
    metadata: int | None
    """Known once it is signed."""

    @property
    def total(self) -> int:
        """All of them that are known."""
        return self.payload + self.graph + self.probes + (self.metadata or 0)


@dataclass(frozen=True)
class ProbeSet:
    """What all parts of a probe set have together."""

    items: int
    known: int
    """Items that the version gets right."""

    @property
    def chance_to_pass(self) -> float:
        """The probability that a model passes that gets a tenth of the known items wrong, each by itself."""
        return chance_to_pass(self.known, ERRING)


def to_fetch(manifest: Manifest, parent: Manifest | None, metadata: int | None = None) -> ToFetch:
    """Return what a device fetches for a step, given the manifest of the version that it has."""
    here = set(objects(parent)) if parent else set()
    probes = {probe.blob for probe in manifest.probes} - here
    graph = 0 if manifest.graph in here else manifest.graph.length
    return ToFetch(manifest.payload.length, graph, sum(blob.length for blob in probes), metadata)


def probe_set(manifest: Manifest) -> ProbeSet | None:
    """Return what the probe set of a version has; None if there is none."""
    items = sum(probe.total for probe in manifest.probes)
    return ProbeSet(items, items - sum(probe.errors for probe in manifest.probes)) if manifest.probes else None


def parents(session: Session, candidates: Collection[Candidate]) -> dict[tuple[str, str], Manifest]:
    """Return the manifests of the versions that candidates start from, by model and digest."""
    starts = {(found.model, found.parent_digest) for found in candidates if found.parent_digest}
    if not starts:
        return {}
    named = or_(*(and_(Version.model == model, Version.digest == digest) for model, digest in starts))
    rows: Sequence[Version] = session.scalars(select(Version).where(named)).all()
    return {(version.model, version.digest): from_json(version.candidate.manifest) for version in rows}
