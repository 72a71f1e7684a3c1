"""The manifest: what binds a payload to the versions that it leads between.

Integers and strings only, so that it can be signed as canonical JSON. Parsing is strict; fetching
and trusting it are left to others.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from diffclient.errors import ManifestError
from diffclient.release.metric import Metric

ManifestKind = Literal["snapshot", "sparse", "hashed", "exact"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNT_LIMIT = 1 << 53


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
    """The errors that version 0 makes on the first probe: what drift is measured against."""
    max_drift_ppm: int
    """The most by which the error rate on the first probe may exceed version 0's."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"probes": [asdict(probe) for probe in self.probes]}


def from_json(value: object) -> Manifest:
    """Read a manifest from plain JSON values; raises ManifestError naming the offending field."""
    fields = _fields(value, "manifest", Manifest)
    kind = fields["kind"]
    if kind not in get_args(ManifestKind):
        raise ManifestError(f"manifest: unknown kind {kind!r}: update the client")
    snapshot = kind == "snapshot"
    if snapshot != (fields["from_digest"] is None) or snapshot != (fields["from_version"] is None):
        raise ManifestError("manifest: a snapshot has no parent, and every diff has one")
    return Manifest(
        model=_text(fields, "model"),
        kind=kind,
        from_digest=None if snapshot else _sha256(fields, "from_digest"),
        from_version=None if snapshot else _count(fields, "from_version"),
        to_digest=_sha256(fields, "to_digest"),
        to_version=_count(fields, "to_version"),
        payload=_blob(fields["payload"], "payload"),
        graph=_blob(fields["graph"], "graph"),
        probes=_probes(fields["probes"]),
        metric=_metric(fields["metric"]),
        error_rate_ppm=_count(fields, "error_rate_ppm"),
        version_0_errors=_count(fields, "version_0_errors"),
        max_drift_ppm=_count(fields, "max_drift_ppm"),
    )


def _probes(value: object) -> tuple[Probe, ...]:
    if not isinstance(value, list):
        raise ManifestError("manifest: probes is not a list")
    return tuple(_probe(item) for item in value)


def _probe(value: object) -> Probe:
    fields = _fields(value, "probe", Probe)
    return Probe(
        domain=_text(fields, "domain"),
        blob=_blob(fields["blob"], "blob"),
        total=_count(fields, "total"),
        errors=_count(fields, "errors"),
    )


def _metric(value: object) -> Metric:
    return Metric(**_fields(value, "metric", Metric))


def _blob(value: object, name: str) -> Blob:
    fields = _fields(value, name, Blob)
    return Blob(sha256=_sha256(fields, "sha256"), length=_count(fields, "length"))


def _fields(value: object, name: str, kind: type) -> dict[str, Any]:
    expected = set(kind.__annotations__)
    if not isinstance(value, dict):
        raise ManifestError(f"{name} is not an object")
    if value.keys() != expected:
        odd = sorted(map(str, expected.symmetric_difference(value.keys())))
        raise ManifestError(f"{name}: missing or unknown fields: {', '.join(odd)}")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ManifestError(f"manifest: {name} is not a text of 1 to 200 characters")
    return value


def _sha256(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ManifestError(f"manifest: {name} is not a SHA-256 in lower-case hex")
    return value


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value < _COUNT_LIMIT:
        raise ManifestError(f"manifest: {name} is not a whole number from 0 to 2^53 - 1")
    return value
