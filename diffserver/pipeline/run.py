"""The pipeline: train → encode → decode and apply with the device's own code → evaluate that → a candidate.

It joins training and the database. A candidate is the device's result, never the weights that training held in memory.
Claiming trainings and recording candidates is left to `worker`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import GIVEN, SNAPSHOT
from diffserver.pipeline import enter_checkpoint, from_checkpoint, from_diff, merged_diffs, trials
from diffserver.pipeline.build_candidate import assess, measure
from diffserver.pipeline.job.keeping import States
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
    states: States | None = None,
) -> NewCandidate:
    """Make the candidate of a request, by up to a few trainings; `folder`, which the caller removes, takes their files.

    `find` returns the task of a name. Trainings go on from what `states` has of them.

    Raises Invalid, TaskError, MethodError, RangeError, Cancelled once `on_progress` answers False, and JobLost.
    """
    work = Work(spec, find(spec.task), objects, folder, on_progress, states, find=find)
    if spec.kind == "base":
        return _base(work)
    parent = load_parent(spec, engine, objects, folder)
    work = replace(work, number=parent.next_number)
    if spec.checkpoint and spec.max_drift is None:
        return _uploaded_update(work, engine, parent)
    return _searched_update(work, engine, parent)


def _base(work: Work) -> NewCandidate:
    spec = work.spec
    domains = [choose_domain(spec, ())] if spec.data else []
    result = enter_checkpoint.enter(work) if spec.checkpoint else train_base(work, *domains)
    return assess(measure(work, None, result, domains))


def _uploaded_update(work: Work, engine: Engine, parent: Parent) -> NewCandidate:
    """Return the candidate of an update that was trained elsewhere: a diff, or a checkpoint as a diff or whole."""
    if work.spec.method == GIVEN:
        _require_same_network(work, parent)
    ways = {GIVEN: from_diff.update, SNAPSHOT: enter_checkpoint.enter}
    result = ways.get(work.spec.method, from_checkpoint.update)(work, parent)
    return _candidate(engine, parent, measure(work, parent, result, _domains(work.spec, parent)))


def _domains(spec: TrainingSpec, parent: Parent) -> Sequence[str]:
    """Return the domains to measure on, a new one last: every training brings one, a checkpoint or a diff may."""
    if spec.checkpoint and not spec.domain:
        return parent.domains
    return [*parent.domains, choose_domain(spec, parent.domains)]


def _searched_update(work: Work, engine: Engine, parent: Parent) -> NewCandidate:
    """Return the candidate of the best trial; each is trained or cut down, encoded, decoded, applied and evaluated."""
    if not work.spec.checkpoint:
        _require_same_network(work, parent)
    results = trials.run(work, engine, parent, _domains(work.spec, parent))
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
