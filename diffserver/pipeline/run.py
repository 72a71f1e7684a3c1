"""The pipeline: train → encode → decode and apply with the device's own code → evaluate that → a candidate.

It joins training and the database. A candidate is the device's result, never the weights that training held in memory.
Claiming trainings and recording candidates is left to `worker`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import GIVEN
from diffserver.pipeline import from_checkpoint, from_diff, merged_diffs, trials
from diffserver.pipeline.build_candidate import assess, measure
from diffserver.pipeline.job_context import MeasuredVersion, Work
from diffserver.pipeline.parent_version import Parent, choose_domain, load_parent
from diffserver.pipeline.train_version import train_base
from diffserver.storage.object_store import Objects
from diffserver.tasks import Task, load_task
from diffserver.training.progress import OnProgress
from diffserver.training.same_network import require_same_network


def make_candidate(
    spec: TrainingSpec,
    engine: Engine,
    objects: Objects,
    folder: Path,
    on_progress: OnProgress,
    find: Callable[[str], Task] = load_task,
) -> NewCandidate:
    """Make the candidate of a request, by up to a few trainings; `folder`, which the caller removes, takes their files.

    `find` returns the task of a name.

    Raises Invalid, TaskError, MethodError, RangeError, and Cancelled once `on_progress` answers False.
    """
    work = Work(spec, find(spec.task), objects, folder, on_progress)
    if spec.kind == "base":
        return _base(work)
    parent = load_parent(spec, engine, objects, folder)
    work = replace(work, number=parent.number + 1)
    return _uploaded_update(work, engine, parent) if spec.checkpoint else _trained_update(work, engine, parent)


def _base(work: Work) -> NewCandidate:
    spec = work.spec
    domains = [choose_domain(spec, ())] if spec.data else []
    result = from_checkpoint.enter(work) if spec.checkpoint else train_base(work, *domains)
    return assess(measure(work, None, result, domains))


def _uploaded_update(work: Work, engine: Engine, parent: Parent) -> NewCandidate:
    """Return the candidate of an update that was trained elsewhere, a diff or a checkpoint."""
    spec = work.spec
    domains = [*parent.domains, choose_domain(spec, parent.domains)] if spec.domain else parent.domains
    if spec.method == GIVEN:
        _require_same_network(work, parent)
    result = from_diff.update(work, parent) if spec.method == GIVEN else from_checkpoint.update(work, parent)
    return _candidate(engine, parent, measure(work, parent, result, domains))


def _trained_update(work: Work, engine: Engine, parent: Parent) -> NewCandidate:
    """Return the candidate of the best trial; each is trained, encoded, decoded, applied and evaluated."""
    domains = [*parent.domains, choose_domain(work.spec, parent.domains)]
    _require_same_network(work, parent)
    results = trials.run(work, engine, parent, domains)
    candidate = _candidate(engine, parent, results.chosen_version)
    return results.annotate(candidate, reference=assess(results.reference) if results.reference else None)


def _require_same_network(work: Work, parent: Parent) -> None:
    """Raise TaskError if the task's network is no longer the one that devices run."""
    if work.spec.task != DELIVERY:
        work.report(0.0, "compares the task's network with the published one")
        graph = work.objects.get(parent.graph.sha256)
        require_same_network(work.task, work.task.network(work.seed), parent.snapshot, graph)


def _candidate(engine: Engine, parent: Parent, measured: MeasuredVersion) -> NewCandidate:
    """Return an update's candidate, with the short cuts that lead to it."""
    shortcuts = merged_diffs.make(measured.work, engine, parent, measured.result.version)
    return assess(replace(measured, result=replace(measured.result, shortcuts=shortcuts)))
