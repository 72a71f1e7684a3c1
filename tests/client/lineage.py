"""Versions of a small model with everything that a server serves: snapshots, payloads, probe sets, manifests."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.measure.error_count import Errors
from diffclient.measure.probation import Score
from diffclient.payload.encode import encode
from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.release.metric import Metric
from diffclient.release.target_custom import name_of
from diffclient.tensors.snapshot import Snapshot, Table
from tests.factories import Version, sparse_diff, write_version

MODEL = "commands"
DRIFT_BOUND = 900_000


@dataclass(frozen=True)
class Kind:
    """A kind of model: its tensors, its graph, its probe set for some weights, how it is measured, and in what."""

    shapes: dict[str, tuple[int, ...]]
    graph: bytes
    probes: Callable[[Snapshot], dict[str, bytes]]
    score: Score
    metric: Metric


@dataclass
class Lineage:
    """Versions 0, 1, … of one model, each but the first a sparse diff away from the one before."""

    folder: Path
    kind: Kind
    seed: int = 0
    model: str = MODEL
    blobs: dict[str, bytes] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    snapshots: list[Manifest] = field(default_factory=list)
    """By version: the step to it from nothing."""
    diffs: list[Manifest] = field(default_factory=list)
    """By version, from 1 on: the step to it from the one before."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        first = write_version(self.folder / "0", self.seed, self.kind.shapes)
        self.graph = self.add(self.kind.graph)
        self._parts = {name: self.add(part) for name, part in self.kind.probes(first.snapshot).items()}
        self._enter(first)

    def grow(self, count: int) -> Lineage:
        """Add so many versions."""
        for _ in range(count):
            self.extend(felt_diff(self.versions[-1].table, seed=100 * self.seed + len(self.versions)))
        return self

    def extend(self, diff: Diff, start: int = -1) -> Manifest:
        """Add the version that a diff makes of one, of the newest unless told otherwise."""
        parent, number = self.versions[start], len(self.versions)
        data = encode(diff, parent.table, parent.digest)
        path = self.folder / str(number)
        digest = apply(parent.snapshot, [diff], path)
        whole = self._enter(Version(Snapshot(path), digest))
        step = replace(
            whole, kind=diff.kind, from_digest=parent.digest, from_version=start % number, payload=self.add(data)
        )
        self.diffs.append(step)
        return step

    def add(self, data: bytes) -> Blob:
        """Serve these bytes."""
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        self.blobs[blob.sha256] = data
        return blob

    def digest(self, number: int) -> str:
        """The digest of a version."""
        return self.versions[number].digest

    def steps(self, digest: str | None, target: int) -> list[Manifest]:
        """The steps from what a device holds to a version: diffs if it is on this line, else a snapshot."""
        digests = [version.digest for version in self.versions[: target + 1]]
        if digest in digests:
            return self.diffs[digests.index(digest) : target]
        return [self.snapshots[target]]

    def answer(self, digest: str | None, target: int) -> dict[str, Any]:
        """The answer to a poll."""
        steps = [] if digest == self.digest(target) else self.steps(digest, target)
        return {
            "action": "update" if steps else "none",
            "version": target,
            "digest": self.digest(target),
            "steps": [name_of(step) for step in steps],
            "poll_seconds": 60,
        }

    def expected(self, number: int) -> Errors:
        """The errors that a version makes on the whole probe set."""
        return sum((Errors(probe.errors, probe.total) for probe in self.snapshots[number].probes), Errors(0, 0))

    def _enter(self, version: Version) -> Manifest:
        self.versions.append(version)
        step = Manifest(
            model=self.model,
            kind="snapshot",
            from_digest=None,
            from_version=None,
            to_digest=version.digest,
            to_version=len(self.versions) - 1,
            payload=self.add(version.snapshot.path.read_bytes()),
            graph=self.graph,
            probes=self._probes(version.snapshot),
            metric=self.kind.metric,
            error_rate_ppm=0,
            version_0_errors=0,
            max_drift_ppm=DRIFT_BOUND,
        )
        total = sum((Errors(probe.errors, probe.total) for probe in step.probes), Errors(0, 0))
        zero = (self.snapshots or [step])[0].probes[0].errors
        self.snapshots.append(replace(step, error_rate_ppm=total.error_rate_ppm, version_0_errors=zero))
        return self.snapshots[-1]

    def _probes(self, weights: Snapshot) -> tuple[Probe, ...]:
        paths = [self.folder / blob.sha256 for blob in (self.graph, *self._parts.values())]
        for path in paths:
            path.write_bytes(self.blobs[path.name])
        measured = self.kind.score(paths[0], weights, paths[1:])
        return tuple(
            Probe(domain, blob, found.total, found.errors)
            for (domain, blob), found in zip(self._parts.items(), measured, strict=True)
        )


def felt_diff(table: Table, seed: int) -> Diff:
    """A diff large enough for the probe set to notice."""
    return sparse_diff(table, seed, density=0.3, step=60_000)


# A model that is not speech: a linear classifier whose probe set is labelled vectors.


def classify(graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
    """Count the vectors of each part that the named matrix puts into another class than their label."""
    matrix = weights.read(json.loads(graph.read_bytes())["matrix"])
    errors = []
    for part in parts:
        content = json.loads(part.read_bytes())
        classes = np.argmax(np.array(content["vectors"], np.float32) @ matrix.T, axis=1)
        errors.append(Errors(int(np.sum(classes != content["labels"])), len(classes)))
    return errors


def labelled(weights: Snapshot) -> dict[str, bytes]:
    """Two parts of a probe set on which these weights are mostly right."""
    rng = np.random.default_rng(5)
    matrix = weights.read("head.weight")
    parts = {}
    for domain in ("base", "places"):
        vectors = rng.normal(size=(200, matrix.shape[1])).round(3).astype(np.float32)
        labels = np.argmax(vectors @ matrix.T, axis=1)
        labels[:30] = rng.integers(0, matrix.shape[0], 30)
        parts[domain] = json.dumps({"vectors": vectors.tolist(), "labels": labels.tolist()}).encode()
    return parts


CLASSIFIER = Kind(
    {"head.bias": (10,), "head.weight": (10, 16), "unused": (3000,)},
    json.dumps({"matrix": "head.weight"}).encode(),
    labelled,
    classify,
    Metric("error rate", "vectors"),
)


def probe_zip(utterances: Sequence[tuple[bytes, str]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A part of a probe set."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        lines = []
        for number, (audio, text) in enumerate(utterances):
            name = f"audio/{number:04d}.opus"
            archive.writestr(name, audio)
            lines.append(json.dumps({"audio_filepath": name, "text": text, "duration": 1.0}) + "\n")
        archive.writestr("probe.jsonl", "".join(lines))
    return content.getvalue()
