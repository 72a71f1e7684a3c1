"""The pipeline: train → encode → decode and apply with the device's own code → evaluate that → a candidate.

The one module that joins training and the database. What is recorded is never what training held in memory,
but what a device will compute. Claiming trainings and recording candidates are the worker's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic

import numpy as np
from sqlalchemy import Engine

from diffclient import arithmetic, payload
from diffclient.apply import apply
from diffclient.manifest import Blob, Manifest, ManifestKind, Probe
from diffclient.weights import Array, Snapshot, Table, enter_grid, fp32_bytes, write_snapshot
from diffclient.wer import Errors
from diffserver import evaluate
from diffserver.blobs import Objects
from diffserver.candidate import NewCandidate
from diffserver.evaluate import Bounds, Evaluation
from diffserver.jobs import TrainingSpec
from diffserver.methods import Method, load_method
from diffserver.parent import Parent, choose_domain, load_parent
from diffserver.tasks import Example, Task, load_task
from diffserver.training import Lesson, OnProgress, recipe_for, train

MAX_DRIFT_PPM = 100_000
"""What devices accept: ten points of WER on the base's probes over version 0's."""

BASE_PROBES, UPDATE_PROBES = 24, 8
"""Utterances that travel with version 0, and that each update adds."""

TRAINING_SHARE = 0.9
"""How much of the progress is training; the rest is evaluation."""


@dataclass(frozen=True)
class Work:
    """One training under way: what was asked for, where things are kept, who hears of progress."""

    spec: TrainingSpec
    task: Task
    objects: Objects
    folder: Path
    on_progress: OnProgress
    number: int = 0
    """Of the version to be made."""

    @property
    def seed(self) -> int:
        """Another one for each version, so that hashed diffs of a chain share no buckets."""
        return self.spec.seed + self.number

    def examples(self, domain: str, split: str) -> Sequence[Example]:
        """One domain's examples, saying so as it may take a while."""
        self.on_progress(0.0 if split == "train" else TRAINING_SHARE, f"reads {domain}")
        return self.task.examples(Path(self.spec.data) / domain, split)


@dataclass(frozen=True)
class Result:
    """A version as the device's code made it: its weights on disk, and what it took to get there."""

    weights: Path
    digest: str
    table: Table
    graph: bytes
    kind: ManifestKind
    payload: bytes | None
    """None for a snapshot."""
    changed: int
    seconds: float
    """Of training and what follows it; reading the data is not counted."""


def run(spec: TrainingSpec, engine: Engine, objects: Objects, folder: Path, on_progress: OnProgress) -> NewCandidate:
    """Do one training; intermediate files go to `folder`, which the caller removes.

    Raises Invalid, TaskError, MethodError, RangeError, and Cancelled once `on_progress` answers False.
    """
    work = Work(spec, load_task(spec.task), objects, folder, on_progress)
    if spec.kind == "base":
        only = [choose_domain(spec, ())]
        return _candidate(work, None, _train_base(work, only), only)
    parent = load_parent(spec, engine, objects, folder)
    work = replace(work, number=parent.number + 1)
    domains = [*parent.domains, choose_domain(spec, parent.domains)]
    return _candidate(work, parent, _train_update(work, parent, domains), domains)


def _train_base(work: Work, domains: Sequence[str]) -> Result:
    lesson, began = _lesson(work, domains), monotonic()
    network = work.task.network(work.seed)
    initial = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    table, _ = enter_grid(initial)
    method = load_method("full", initial, table, 1.0, work.seed)
    table, arrays = enter_grid(_train(work, method, lesson, "base"))
    weights = work.folder / "version.safetensors"
    digest = write_snapshot(weights, table, (arrays[spec.name] for spec in table))
    return Result(weights, digest, table, work.task.graph(network), "snapshot", None, 0, monotonic() - began)


def _train_update(work: Work, parent: Parent, domains: Sequence[str]) -> Result:
    """Train, encode, decode and apply what was learned: from here on only the device's result counts."""
    lesson, began = _lesson(work, domains), monotonic()
    spec, table = work.spec, parent.snapshot.table
    weights, graph = work.folder / "version.safetensors", work.objects.get(parent.graph.sha256)
    method = load_method(spec.method, parent.snapshot.read_all(), table, spec.budget, work.seed)
    trained = _train(work, method, lesson, spec.method)
    learned = method.diff()
    if learned is None:
        digest = write_snapshot(weights, table, _on_grid(table, trained))
        changed = _count_changed(parent.snapshot, Snapshot(weights))
        return Result(weights, digest, table, graph, "snapshot", None, changed, monotonic() - began)
    encoded = payload.encode(learned, table, parent.digest)
    decoded = payload.decode(encoded, table, parent.digest)
    digest = apply(parent.snapshot, [decoded], weights)
    changed = _count_changed(parent.snapshot, Snapshot(weights))
    return Result(weights, digest, table, graph, decoded.kind, encoded, changed, monotonic() - began)


def _lesson(work: Work, domains: Sequence[str]) -> Lesson:
    """The last domain is new, those before it are replayed."""
    *earlier, new = (work.examples(domain, "train") for domain in domains)
    return Lesson(new, earlier)


def _train(work: Work, method: Method, lesson: Lesson, recipe: str) -> Mapping[str, Array]:
    return train(
        work.task,
        work.task.network(work.seed),
        method,
        lesson,
        recipe_for(recipe, work.spec.epochs),
        seed=work.seed,
        device=work.spec.device,
        on_progress=lambda done, message: work.on_progress(TRAINING_SHARE * done, message),
    )


def _candidate(work: Work, parent: Parent | None, result: Result, domains: Sequence[str]) -> NewCandidate:
    """Evaluate the result, hold it to its bounds, store its objects."""
    spec = work.spec
    snapshot, graph = work.objects.put(result.weights), work.objects.put(result.graph)
    before, after = _evaluate(work, parent, result, domains)
    probes = _probe(work, parent, result, domains[-1])
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
    )


def _evaluate(
    work: Work, parent: Parent | None, result: Result, domains: Sequence[str]
) -> tuple[Evaluation, Evaluation]:
    """Errors before and after: the parent's are known but on the new domain's test set."""

    def say(domain: str) -> None:
        work.on_progress(TRAINING_SHARE, f"evaluates on {domain}")

    def measure(weights: Path, chosen: Sequence[str]) -> Evaluation:
        sets = {domain: work.examples(domain, "test") for domain in chosen}
        return evaluate.measure(work.task, result.graph, weights, sets, say)

    after = measure(result.weights, domains)
    if parent is None:
        return {}, after
    return {**parent.evaluation, **measure(parent.snapshot.path, domains[-1:])}, after


def _probe(work: Work, parent: Parent | None, result: Result, new: str) -> tuple[Probe, ...]:
    """The parent's parts of the probe set and a new one, with the errors that the result makes on each."""
    count = BASE_PROBES if parent is None else UPDATE_PROBES
    part = work.task.probe(Path(work.spec.data) / new, "test", count, work.seed)
    named = [(probe.domain, probe.blob) for probe in (parent.probes if parent else ())]
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


def _on_grid(table: Table, trained: Mapping[str, Array]) -> list[Array]:
    """Round a fully retrained model's weights to the grids of its line; raises RangeError."""

    def rounded(array: Array, grid: int) -> Array:
        return arithmetic.from_grid(arithmetic.round_to_grid(array, grid), grid)

    return [trained[spec.name] if spec.grid is None else rounded(trained[spec.name], spec.grid) for spec in table]


def _count_changed(before: Snapshot, after: Snapshot) -> int:
    return sum(int(np.count_nonzero(before.read(spec.name) != after.read(spec.name))) for spec in before.table)


def _errors(probe: Probe) -> Errors:
    return Errors(probe.errors, probe.words)
