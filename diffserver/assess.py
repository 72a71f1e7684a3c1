"""What a trained version is worth: evaluated as devices compute it, held to its bounds, made a candidate."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from diffclient.manifest import Blob, Manifest, Probe
from diffclient.weights import Snapshot, fp32_bytes
from diffclient.wer import Errors
from diffserver import evaluate
from diffserver.candidate import NewCandidate
from diffserver.evaluate import Bounds, Evaluation
from diffserver.jobs import TrainingSpec
from diffserver.parent import Parent
from diffserver.work import TRAINING_SHARE, Result, Work

MAX_DRIFT_PPM = 100_000
"""What devices accept: ten points of WER on the base's probes over version 0's."""

BASE_PROBES, UPDATE_PROBES = 24, 8
"""Utterances that travel with version 0, and that each update adds."""


def assess(work: Work, parent: Parent | None, result: Result, new: str | None) -> NewCandidate:
    """Evaluate the result on all domains and the `new` one, hold it to its bounds, store its objects."""
    spec = work.spec
    domains = _with(parent.domains if parent else (), new)
    snapshot, graph = work.objects.put(result.weights), work.objects.put(result.graph)
    before, after = _evaluate(work, parent, result, new)
    probes = _probe(work, parent, result, new)
    share = len(result.payload or b"") / fp32_bytes(result.table)
    comparison = parent is not None and result.payload is None
    manifest = _manifest(work, parent, result, snapshot, graph, probes)
    return NewCandidate(
        model=spec.model,
        task=spec.task,
        kind=spec.kind,
        method="base" if parent is None else spec.method,
        number=manifest.to_version,
        parent_digest=manifest.from_digest,
        digest=result.digest,
        payload=result.payload,
        snapshot=snapshot,
        graph=graph,
        changed_weights=result.changed,
        budget=spec.budget,
        payload_share=share,
        seconds_train=result.seconds,
        evaluation=evaluate.to_json(before, after),
        data=spec.data,
        refusals=_refusals(spec, parent, share, before, after, probes[0]),
        manifest={} if comparison else manifest.to_json(),
        domains=domains,
        notes=result.notes,
        shortcuts=result.shortcuts,
    )


def _with(known: Sequence[str], new: str | None) -> tuple[str, ...]:
    return (*known, new) if new else tuple(known)


def _evaluate(work: Work, parent: Parent | None, result: Result, new: str | None) -> tuple[Evaluation, Evaluation]:
    """Errors before and after: the parent's are known but on the new domain's test set."""

    def say(domain: str) -> None:
        work.on_progress(TRAINING_SHARE, f"evaluates on {domain}")

    def measure(weights: Path, chosen: Sequence[str]) -> Evaluation:
        sets = {domain: work.examples(domain, "test") for domain in chosen}
        return evaluate.measure(work.task, result.graph, weights, sets, say)

    after = measure(result.weights, _with(parent.domains if parent else (), new))
    if parent is None:
        return {}, after
    return {**parent.evaluation, **measure(parent.snapshot.path, _with((), new))}, after


def _probe(work: Work, parent: Parent | None, result: Result, new: str | None) -> tuple[Probe, ...]:
    """The parent's parts of the probe set and the new domain's, with the errors that the result makes on each."""
    named = [(probe.domain, probe.blob) for probe in (parent.probes if parent else ())]
    if new:
        count = BASE_PROBES if parent is None else UPDATE_PROBES
        part = work.task.probe(Path(work.spec.data) / new, "test", count, work.seed)
        named.append((new, work.objects.put(part)))
    paths = [work.objects.download(blob.sha256, work.folder / blob.sha256) for _, blob in named]
    graph = work.folder / "graph.onnx"
    graph.write_bytes(result.graph)
    scores = work.task.score(graph, Snapshot(result.weights), paths)
    pairs = zip(named, scores, strict=True)
    return tuple(Probe(domain, blob, found.words, found.errors) for (domain, blob), found in pairs)


def _manifest(
    work: Work,
    parent: Parent | None,
    result: Result,
    snapshot: Blob,
    graph: Blob,
    probes: tuple[Probe, ...],
) -> Manifest:
    made = result.payload
    return Manifest(
        model=work.spec.model,
        kind=result.kind,
        from_digest=parent.digest if parent else None,
        from_version=parent.number if parent else None,
        to_digest=result.digest,
        to_version=work.number,
        payload=snapshot if made is None else Blob(sha256(made).hexdigest(), len(made)),
        graph=graph,
        probes=probes,
        wer_ppm=sum((_errors(probe) for probe in probes), Errors(0, 0)).wer_ppm,
        version_0_errors=(parent.probe_0 if parent else probes[0]).errors,
        max_drift_ppm=MAX_DRIFT_PPM,
    )


def _refusals(
    spec: TrainingSpec,
    parent: Parent | None,
    share: float,
    before: Evaluation,
    after: Evaluation,
    base_probe: Probe,
) -> list[str]:
    if parent is None:
        return []
    earlier = evaluate.regressions({domain: before[domain] for domain in parent.domains}, after)
    drift = _errors(base_probe).wer_ppm - _errors(parent.probe_0).wer_ppm
    return evaluate.refusals(Bounds(spec.budget, spec.max_regression, MAX_DRIFT_PPM), share, earlier, drift)


def _errors(probe: Probe) -> Errors:
    return Errors(probe.errors, probe.words)
