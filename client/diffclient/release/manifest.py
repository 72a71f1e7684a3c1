"""The manifest, which binds a payload to its parent and to the version that it makes.

No manifest is signed as a whole: its parts are, in the custom fields of signed targets, which `target_custom`
makes of it and joins to one again. So integers and strings only, as canonical JSON has no floats. Servers and
devices keep it as JSON, read strictly; fetching and trusting it are left to others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from diffclient.errors import ManifestError
from diffclient.release.metric import Metric
from diffclient.strict_json import Fields, fields_of

ManifestKind = Literal["snapshot", "sparse", "hashed", "exact"]

NAME_LIMIT = 200
"""Characters of a model's or a domain's name."""

PROBE_LIMIT = 1000
"""Parts of a probe set."""

NO_GRAPH = b""
"""The graph of a model that has none, which is delivered as weights alone."""


@dataclass(frozen=True)
class Blob:
    """Bytes named by their SHA-256 (lower-case hex); `length` in bytes."""

    sha256: str
    length: int


@dataclass(frozen=True)
class Probe:
    """One part of the probe set, how much there is in it that counts, and the errors that this version makes."""

    domain: str
    blob: Blob
    total: int
    errors: int


@dataclass(frozen=True)
class Manifest:
    """One step of an update: a diff from one version to another, or a snapshot of a version."""

    model: str
    kind: ManifestKind
    from_digest: str | None
    from_version: int | None
    to_digest: str
    to_version: int
    payload: Blob
    graph: Blob
    probes: tuple[Probe, ...]
    metric: Metric
    error_rate_ppm: int
    """What is expected over all probes, in parts per million."""
    version_0_errors: int
    """Errors of version 0 on the first probe, the reference for drift."""
    max_drift_ppm: int
    """The most by which the error rate on the first probe may exceed version 0's."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"probes": [asdict(probe) for probe in self.probes]}


def from_json(value: object) -> Manifest:
    """Read a manifest from plain JSON values; raises ManifestError naming the offending field."""
    fields = fields_of(value, "manifest", ManifestError).only(*Manifest.__annotations__)
    kind = fields.choice("kind", get_args(ManifestKind))
    from_digest, from_version = fields.maybe("from_digest", fields.digest), fields.maybe("from_version", fields.count)
    if {from_digest is None, from_version is None} != {kind == "snapshot"}:
        raise ManifestError("manifest: a snapshot has no parent, and every diff has one")
    return Manifest(
        model=fields.text("model", NAME_LIMIT),
        kind=kind,
        from_digest=from_digest,
        from_version=from_version,
        to_digest=fields.digest("to_digest"),
        to_version=fields.count("to_version"),
        payload=_blob(fields.inside("payload")),
        graph=_blob(fields.inside("graph")),
        probes=tuple(map(_probe, fields.objects("probes", PROBE_LIMIT))),
        metric=Metric(**fields.inside("metric").only(*Metric.__annotations__).values),
        error_rate_ppm=fields.count("error_rate_ppm"),
        version_0_errors=fields.count("version_0_errors"),
        max_drift_ppm=fields.count("max_drift_ppm"),
    )


def _probe(fields: Fields) -> Probe:
    fields.only(*Probe.__annotations__)
    return Probe(
        domain=fields.text("domain", NAME_LIMIT),
        blob=_blob(fields.inside("blob")),
        total=fields.count("total"),
        errors=fields.count("errors"),
    )


def _blob(fields: Fields) -> Blob:
    fields.only(*Blob.__annotations__)
    return Blob(sha256=fields.digest("sha256"), length=fields.count("length"))
