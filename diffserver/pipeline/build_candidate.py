"""Assess a new version: measure its errors with the device's code, check its bounds, and build its candidate."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from diffclient.measure.error_count import Errors
from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver import evaluation
from diffserver.catalog.candidate import NewCandidate
from diffserver.checkpoints.fit import is_another_model
from diffserver.choices.methods import BASE, Use, method_names
from diffserver.evaluation import Bounds, Evaluation
from diffserver.pipeline.job_context import TRAINING_SHARE, MeasuredVersion, Result, Work
from diffserver.pipeline.parent_version import Parent
from diffserver.tasks import probe_choice
from diffserver.tasks.domain_folders import fingerprint

MAX_DRIFT_PPM = 100_000
"""The drift that devices accept: ten points of error rate on the base's probes over version 0's."""


def measure(work: Work, parent: Parent | None, result: Result, domains: Sequence[str]) -> MeasuredVersion:
    """Return a result with the errors of the device's code on all test sets; raises Cancelled."""
    return MeasuredVersion(work, parent, result, _errors_of(work, result.graph, result.version.weights, domains))


def assess(measured: MeasuredVersion) -> NewCandidate:
    """Return the candidate of a measured version, with its refusals, and store its objects; raises Cancelled."""
    work, parent, result, after = measured.work, measured.parent, measured.result, measured.errors
    spec, domains, new = work.spec, tuple(after), measured.new_domain
    snapshot, graph = work.objects.put(result.version.weights), work.objects.put(result.graph)
    before = _parent_errors(work, parent, new)
    method = BASE if parent is None else spec.method
    published = method in method_names(Use.PUBLISHED)
    probes = _probe(work, parent, result, new if published else None)
    share = len(result.version.payload or b"") / fp32_bytes(result.version.table)
    manifest = _manifest(work, parent, result, snapshot, graph, probes)
    return NewCandidate(
        model=spec.model,
        task=spec.task,
        kind=spec.kind,
        method=method,
        number=manifest.to_version,
        parent_digest=parent.digest if parent else None,
        digest=result.version.digest,
        payload=result.version.payload,
        snapshot=snapshot,
        graph=graph,
        changed_weights=result.changed,
        budget=spec.budget,
        payload_share=share,
        seconds_train=result.seconds,
        metric=work.task.metric,
        evaluation=evaluation.to_json(before, after),
        data=spec.data,
        refusals=[*_unlike(parent, result), *_refusals(work, parent, share, before, after, next(iter(probes), None))],
        manifest=manifest.to_json() if published else {},
        domains=domains,
        notes=(*result.notes, *_on_probes(manifest, parent)),
        shortcuts=result.shortcuts,
        data_sha256=fingerprint(Path(spec.data), domains),
    )


def _parent_errors(work: Work, parent: Parent | None, new: str | None) -> Evaluation:
    """Return the parent's errors, with those on the new domain's test set, which are measured here by its own graph."""
    if parent is None or new is None:
        return parent.evaluation if parent else {}
    return {**parent.evaluation, **_errors_of(work, work.objects.get(parent.graph.sha256), parent.snapshot.path, [new])}


def _errors_of(work: Work, graph: bytes, weights: Path, domains: Sequence[str]) -> Evaluation:
    if not domains:  # a model that is delivered only, for which there is nothing to measure
        return {}
    test_sets = {domain: work.examples(domain, "test") for domain in domains}
    session, errors = work.task.session(graph, Snapshot(weights)), {}
    for domain, examples in test_sets.items():
        work.report(TRAINING_SHARE, f"evaluates on {domain}")
        errors[domain] = work.task.measure(session, examples)
    return errors


def _probe(work: Work, parent: Parent | None, result: Result, new: str | None) -> tuple[Probe, ...]:
    """Return the parent's parts of the probe set and the new domain's, with the result's errors on each."""
    parts = [(probe.domain, probe.blob) for probe in (parent.probes if parent else ())]
    graph = work.folder / "graph.onnx"
    graph.write_bytes(result.graph)
    if new:
        parts.append((new, work.objects.put(_new_part(work, parent, result, graph, new))))
    if not parts:
        return ()
    paths = [work.objects.download(blob.sha256, work.folder / blob.sha256) for _, blob in parts]
    scores = work.task.score(graph, Snapshot(result.version.weights), paths)
    pairs = zip(parts, scores, strict=True)
    return tuple(Probe(domain, blob, errors.total, errors.errors) for (domain, blob), errors in pairs)


def _new_part(work: Work, parent: Parent | None, result: Result, graph: Path, new: str) -> bytes:
    """Return the new domain's part of the probe set, as long as the bytes that it comes with allow."""
    work.report(TRAINING_SHARE, f"chooses probes of {new}")
    payload, version = result.version.payload, Snapshot(result.version.weights)
    domain, folder = Path(work.spec.data) / new, work.folder / "probes"
    travels = version.path.stat().st_size if payload is None else len(payload)
    pool = probe_choice.draw(work.task, domain, graph, version, work.seed, folder)
    if parent is None:
        return probe_choice.sample(pool, probe_choice.of_base(travels))
    known = sum(probe.total - probe.errors for probe in parent.probes)
    return probe_choice.decisive(pool, probe_choice.of_update(travels, known))


def _on_probes(manifest: Manifest, parent: Parent | None) -> list[str]:
    """Say if the new part of the probe set takes more than its share of the bytes, and why."""
    known = {probe.blob for probe in parent.probes} if parent else set()
    parts = [probe for probe in manifest.probes if probe.blob not in known]
    size = sum(probe.blob.length for probe in parts)
    if size <= probe_choice.SHARE * manifest.payload.length:
        return []
    return [
        f"the new part of the probe set takes {size:,} bytes, over {probe_choice.SHARE:.0%} of the "
        f"{manifest.payload.length:,} that it comes with: with fewer than its {sum(probe.total for probe in parts)} "
        f"{manifest.metric.counts} it would not tell a broken model"
    ]


def _manifest(
    work: Work,
    parent: Parent | None,
    result: Result,
    snapshot: Blob,
    graph: Blob,
    probes: tuple[Probe, ...],
) -> Manifest:
    payload, first = result.version.payload, parent.probe_0 if parent else next(iter(probes), None)
    start = None if result.version.kind == "snapshot" else parent
    return Manifest(
        model=work.spec.model,
        kind=result.version.kind,
        from_digest=start.digest if start else None,
        from_version=start.number if start else None,
        to_digest=result.version.digest,
        to_version=work.number,
        payload=snapshot if payload is None else Blob(sha256(payload).hexdigest(), len(payload)),
        graph=graph,
        probes=probes,
        metric=work.task.metric,
        error_rate_ppm=sum((_errors(probe) for probe in probes), Errors(0, 0)).error_rate_ppm,
        version_0_errors=first.errors if first else 0,
        max_drift_ppm=MAX_DRIFT_PPM,
    )


def _unlike(parent: Parent | None, result: Result) -> list[str]:
    """Return a line if a version that is delivered whole looks like one of another model."""
    if parent is None or not is_another_model(parent.snapshot.table, result.version.table):
        return []
    return [f"no tensor has the name of one of version {parent.number}: another model's, or all renamed by an exporter"]


def _refusals(
    work: Work,
    parent: Parent | None,
    share: float,
    before: Evaluation,
    after: Evaluation,
    base_probe: Probe | None,
) -> list[str]:
    if parent is None:
        return []
    earlier = evaluation.regressions({domain: before[domain] for domain in parent.domains}, after)
    drift = _errors(base_probe).error_rate_ppm - _errors(parent.probe_0).error_rate_ppm
    bounds = Bounds(work.spec.budget, work.spec.max_regression, MAX_DRIFT_PPM)
    return evaluation.refusals(bounds, work.task.metric, share, earlier, drift)


def _errors(probe: Probe | None) -> Errors:
    return Errors(probe.errors, probe.total) if probe else Errors(0, 0)
