"""The custom fields of signed targets: write them for a manifest, and read a manifest back from verified targets.

Pure values. No manifest is signed as a whole: a step names the versions that it joins, the facts of a version are
signed once, with its snapshot, and lengths and hashes belong to their targets. Names are left to `target_names`;
signing, fetching and verifying to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffclient.errors import ManifestError
from diffclient.release.manifest import NAME_LIMIT, PROBE_LIMIT, Blob, Manifest, ManifestKind, Probe
from diffclient.release.metric import Metric
from diffclient.release.target_names import TargetKind, diff_name, graph_name, parse, probe_name, snapshot_name
from diffclient.strict_json import Fields, fields_of

FIELD = "diffserver"
"""The one field of a target's custom metadata that is read here."""


@dataclass(frozen=True)
class Step:
    """The versions that a diff joins; digests in lower-case hex."""

    kind: ManifestKind
    from_digest: str
    from_version: int
    to_digest: str
    to_version: int


@dataclass(frozen=True)
class ProbeFacts:
    """A part of the probe set by its target's name, how much counts in it, and the errors that a version makes."""

    domain: str
    target: str
    total: int
    errors: int


@dataclass(frozen=True)
class Facts:
    """The facts of a version, whichever diff or snapshot leads to it; rates in parts per million."""

    digest: str
    version: int
    graph: str
    """The name of the graph's target."""
    probes: tuple[ProbeFacts, ...]
    metric: Metric
    error_rate_ppm: int
    version_0_errors: int
    max_drift_ppm: int

    @property
    def objects(self) -> tuple[str, ...]:
        """The names of the targets that the version needs beside its weights, each once."""
        return tuple(dict.fromkeys((self.graph, *(probe.target for probe in self.probes))))


@dataclass(frozen=True)
class Downgrade:
    """A permission: devices whose version is at most `below` may go back to this one."""

    digest: str
    version: int
    below: int


# Written by the server


def name_of(manifest: Manifest) -> str:
    """Return the name of the target that holds a manifest's payload."""
    if manifest.from_version is None:
        return snapshot_name(manifest.model, manifest.to_version)
    return diff_name(manifest.model, manifest.to_version, manifest.from_version)


def objects_of(manifest: Manifest) -> dict[str, Blob]:
    """Return the graph and the parts of the probe set by their targets' names."""
    parts = {probe_name(manifest.model, probe.blob.sha256): probe.blob for probe in manifest.probes}
    return {graph_name(manifest.model, manifest.graph.sha256): manifest.graph} | parts


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return the custom metadata of the snapshot of the version that a manifest leads to."""
    return {
        FIELD: {
            "digest": manifest.to_digest,
            "version": manifest.to_version,
            "graph": graph_name(manifest.model, manifest.graph.sha256),
            "probes": [
                [probe.domain, probe_name(manifest.model, probe.blob.sha256), probe.total, probe.errors]
                for probe in manifest.probes
            ],
            "metric": [manifest.metric.name, manifest.metric.counts],
            "error_rate_ppm": manifest.error_rate_ppm,
            "version_0_errors": manifest.version_0_errors,
            "max_drift_ppm": manifest.max_drift_ppm,
        }
    }


def step(manifest: Manifest) -> dict[str, Any]:
    """Return the custom metadata of a diff; raises ManifestError on a snapshot."""
    if manifest.from_digest is None:
        raise ManifestError("a snapshot is no step: its target carries facts")
    return {
        FIELD: {
            "kind": manifest.kind,
            "from": manifest.from_digest,
            "from_version": manifest.from_version,
            "to": manifest.to_digest,
            "to_version": manifest.to_version,
        }
    }


def downgrade(permission: Downgrade) -> dict[str, Any]:
    """Return the custom metadata of a permission to go back."""
    return {FIELD: {"digest": permission.digest, "version": permission.version, "below": permission.below}}


# Read by devices


def read_facts(name: str, custom: object) -> Facts:
    """Read the custom metadata of the snapshot called `name`; raises ManifestError."""
    fields = _fields(name, custom, "digest version graph probes metric error_rate_ppm version_0_errors max_drift_ppm")
    return Facts(
        digest=fields.digest("digest"),
        version=_same(fields, "version", parse(name).number),
        graph=_target(name, fields.text("graph"), "graph"),
        probes=tuple(_probe(name, part) for part in fields.items("probes", PROBE_LIMIT)),
        metric=_metric(name, fields.values["metric"]),
        error_rate_ppm=fields.count("error_rate_ppm"),
        version_0_errors=fields.count("version_0_errors"),
        max_drift_ppm=fields.count("max_drift_ppm"),
    )


def read_step(name: str, custom: object) -> Step:
    """Read the custom metadata of the diff called `name`; raises ManifestError."""
    fields, expected = _fields(name, custom, "kind from from_version to to_version"), parse(name)
    return Step(
        kind=fields.choice("kind", ("sparse", "hashed", "exact")),
        from_digest=fields.digest("from"),
        from_version=_same(fields, "from_version", expected.parent),
        to_digest=fields.digest("to"),
        to_version=_same(fields, "to_version", expected.number),
    )


def read_downgrade(name: str, custom: object) -> Downgrade:
    """Read the custom metadata of the permission called `name`; raises ManifestError."""
    fields = _fields(name, custom, "digest version below")
    return Downgrade(fields.digest("digest"), _same(fields, "version", parse(name).number), fields.count("below"))


def join(name: str, payload: Blob, step: Step | None, facts: Facts, objects: Mapping[str, Blob]) -> Manifest:
    """Return the manifest of the target `name`: its bytes, its step (None: a snapshot), its version's facts.

    `objects` holds the targets that `facts.objects` names. Raises ManifestError where they contradict each other.
    """
    if step and (step.to_digest, step.to_version) != (facts.digest, facts.version):
        raise ManifestError(f"{name} leads elsewhere than the facts of version {facts.version} say")
    for target in facts.objects:
        if parse(target).prefix != objects[target].sha256[:16]:
            raise ManifestError(f"{target} does not hold what its name says")
    return Manifest(
        model=parse(name).model,
        kind=step.kind if step else "snapshot",
        from_digest=step.from_digest if step else None,
        from_version=step.from_version if step else None,
        to_digest=facts.digest,
        to_version=facts.version,
        payload=payload,
        graph=objects[facts.graph],
        probes=tuple(Probe(part.domain, objects[part.target], part.total, part.errors) for part in facts.probes),
        metric=facts.metric,
        error_rate_ppm=facts.error_rate_ppm,
        version_0_errors=facts.version_0_errors,
        max_drift_ppm=facts.max_drift_ppm,
    )


def _fields(name: str, custom: object, expected: str) -> Fields:
    """Return the fields of one target's custom metadata: exactly those expected."""
    return fields_of(custom, name, ManifestError).inside(FIELD).only(*expected.split())


def _same(fields: Fields, field: str, expected: int | None) -> int:
    """Return a count, which must equal the number in the target's name."""
    value = fields.count(field)
    if value != expected:
        raise ManifestError(f"{fields.what}: {field} is {value}, the name says {expected}")
    return value


def _target(name: str, value: str, kind: TargetKind) -> str:
    """Return the name of another target of the same model."""
    target = parse(value)
    if (target.kind, target.model) != (kind, parse(name).model):
        raise ManifestError(f"{name}: a {kind} is not named as one of the same model")
    return value


def _probe(name: str, part: object) -> ProbeFacts:
    if not isinstance(part, list) or len(part) != 4:
        raise ManifestError(f"{name}: a probe is a domain, a target, a total and errors")
    fields = Fields(name, dict(zip(("domain", "target", "total", "errors"), part, strict=True)), ManifestError)
    return ProbeFacts(
        fields.text("domain", NAME_LIMIT),
        _target(name, fields.text("target"), "probe"),
        fields.count("total"),
        fields.count("errors"),
    )


def _metric(name: str, value: object) -> Metric:
    if not isinstance(value, list) or len(value) != 2:
        raise ManifestError(f"{name}: a metric is its name and what it counts")
    return Metric(*value)
