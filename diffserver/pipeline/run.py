"""The pipeline: train → encode → decode and apply with the device's own code → evaluate that → a candidate.

Here training and the database meet. What is recorded is never what training held in memory, but what a device will
compute. Claiming trainings and recording candidates are the worker's.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import GIVEN
from diffserver.pipeline import from_diff, merged_diffs, trials
from diffserver.pipeline.build_candidate import assess, measure
from diffserver.pipeline.from_checkpoint import enter, update
from diffserver.pipeline.job_context import MeasuredVersion, Work
from diffserver.pipeline.parent_version import Parent, choose_domain, load_parent
from diffserver.pipeline.train_version import train_base
from diffserver.storage.object_store import Objects
from diffserver.tasks import Task, load_task
from diffserver.training.progress import OnProgress


def make_candidate(
    spec: TrainingSpec,
    engine: Engine,
    objects: Objects,
    folder: Path,
    on_progress: OnProgress,
    find: Callable[[str], Task] = load_task,
) -> NewCandidate:
    """Do one request, which takes a training or a few; intermediate files go to `folder`, which the caller removes.

    `find` gives the task of a name.

    Raises Invalid, TaskError, MethodError, RangeError, and Cancelled once `on_progress` answers False.
    """
    work = Work(spec, find(spec.task), objects, folder, on_progress)
    if spec.kind == "base":
        new = [choose_domain(spec, ())] if spec.data else []
        result = enter(work) if spec.checkpoint else train_base(work, *new)
        return assess(measure(work, None, result, new))
    parent = load_parent(spec, engine, objects, folder)
    work = replace(work, number=parent.number + 1)
    if spec.checkpoint:
        domains = [*parent.domains, choose_domain(spec, parent.domains)] if spec.domain else parent.domains
        result = from_diff.update(work, parent) if spec.method == GIVEN else update(work, parent)
        return _candidate(engine, parent, measure(work, parent, result, domains))
    # Each of these is trained, encoded, decoded, applied and evaluated; the best one goes on.
    results = trials.run(work, engine, parent, [*parent.domains, choose_domain(spec, parent.domains)])
    candidate = _candidate(engine, parent, results.kept)
    return results.annotate(candidate, reference=assess(results.reference) if results.reference else None)


def _candidate(engine: Engine, parent: Parent, measured: MeasuredVersion) -> NewCandidate:
    """Return an update's candidate, with the short cuts that lead to it."""
    shortcuts = merged_diffs.make(measured.work, engine, parent, measured.result.version)
    return assess(replace(measured, result=replace(measured.result, shortcuts=shortcuts)))
