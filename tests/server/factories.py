"""Candidates for tests of the service: consistent manifests over made-up digests, no training."""

import hashlib
from dataclasses import replace
from typing import Any

from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.release.metric import Metric
from diffserver.catalog.candidate import NewCandidate, NewShortcut
from diffserver.storage.object_store import Objects
from tests.client.lineage import Lineage

WER = Metric("WER", "words")
EVALUATION = {"base": {"parent": None, "candidate": {"errors": 12, "total": 400}}}


def digest(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()


def blob(label: str, length: int = 1_000_000) -> Blob:
    return Blob(digest(f"bytes of {label}"), length)


def base(model: str = "speech", label: str = "v0", **changes: Any) -> NewCandidate:
    """Version 0, of `label`'s digest."""
    return _candidate(model, "base", "base", None, label, 0, None, changes)


def update(parent: str, label: str, number: int, model: str = "speech", **changes: Any) -> NewCandidate:
    """A sparse diff from `parent`'s digest to `label`'s, 2 % of the snapshot; `start` is not the number before."""
    payload = (f"{parent}>{label};".encode() * 20_000)[:20_000]
    return _candidate(model, "update", "sparse", parent, label, number, payload, changes)


def whole(parent: str, label: str, number: int) -> NewCandidate:
    """A version with tensors and a graph of its own."""
    return _candidate("speech", "update", "snapshot", parent, label, number, None, {})


def shortcut(start: str, number: int) -> NewShortcut:
    """A merged diff from a version further back, of some bytes."""
    return NewShortcut(digest(start), number, b"merged")


def full(parent: str, label: str, number: int) -> NewCandidate:
    """A fully retrained model, for comparison."""
    return _candidate("speech", "update", "full", parent, label, number, None, {"manifest": {}})


def of_lineage(lineage: Lineage, number: int, objects: Objects) -> NewCandidate:
    """A version of the lineage as training would have left it, its objects stored."""
    whole = lineage.snapshots[number]
    step = lineage.diffs[number - 1] if number else whole
    for blob in (whole.payload, whole.graph, *(probe.blob for probe in whole.probes)):
        objects.put(lineage.blobs[blob.sha256])
    facts: dict[str, Any] = {
        "digest": whole.to_digest,
        "snapshot": whole.payload,
        "graph": whole.graph,
        "metric": step.metric,
        "manifest": step.to_json(),
    }
    if number == 0:
        return base(lineage.model, **facts)
    facts |= {"parent_digest": step.from_digest, "payload": lineage.blobs[step.payload.sha256]}
    return update("parent", "child", number, model=lineage.model, **facts)


def _candidate(
    model: str,
    kind: Any,
    method: str,
    parent: str | None,
    label: str,
    number: int,
    payload: bytes | None,
    changes: dict[str, Any],
) -> NewCandidate:
    snapshot, graph = blob(label), blob("graph", 5000)
    carried = Blob(hashlib.sha256(payload).hexdigest(), len(payload)) if payload else snapshot
    manifest = Manifest(
        model=model,
        kind="sparse" if payload else "snapshot",
        from_digest=digest(parent) if payload and parent else None,
        from_version=changes.pop("start", number - 1) if payload else None,
        to_digest=digest(label),
        to_version=number,
        payload=carried,
        graph=graph,
        probes=(Probe("base", blob("probes", 9000), 400, 12),),
        metric=WER,
        error_rate_ppm=30_000,
        version_0_errors=12,
        max_drift_ppm=20_000,
    )
    new = NewCandidate(
        model=model,
        task="asr",
        kind=kind,
        method=method,
        number=number,
        parent_digest=digest(parent) if parent else None,
        digest=digest(label),
        payload=payload,
        snapshot=snapshot,
        graph=graph,
        changed_weights=70_000,
        budget=0.02,
        payload_share=0.02,
        seconds_train=12.5,
        metric=WER,
        evaluation=EVALUATION,
        data="/data/speech",
        manifest=manifest.to_json(),
        domains=["base"],
    )
    return replace(new, **changes)
