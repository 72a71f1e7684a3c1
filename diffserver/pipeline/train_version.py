"""Run one training of a request: a lesson from the data, and the version that comes of it.

It goes on from where a worker before has saved it.

Making the version is left to `training.make_version`, the choice of trainings to `trials`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from time import monotonic

import torch

from diffserver.choices.methods import BASE
from diffserver.methods.definition import Definition, load_definition
from diffserver.pipeline.job_context import TRAINING_SHARE, Result, Work, result_of_update
from diffserver.pipeline.parent_version import Parent
from diffserver.tasks.domain_folders import fingerprint
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version
from diffserver.training.new_version import NewVersion
from diffserver.training.parallel.processes import Processes, choose_accelerators
from diffserver.training.task_recipes import definition_of
from diffserver.training.trainable import untrained


def train_base(work: Work, domain: str) -> Result:
    """Train version 0 from nothing; raises TaskError, MethodError, Cancelled."""
    require_recipes(work, [BASE])
    lesson, began = _lesson(work, [domain]), monotonic()
    graph = work.task.graph(work.task.network(work.seed))  # a network that no device can run is not worth training
    version, before = _train(work, BASE, lesson, None, [domain])
    return Result(version, graph, 0, monotonic() - began + before, tuple(_notes(work, BASE)))


def train_update(work: Work, parent: Parent, domains: Sequence[str]) -> Result:
    """Train the parent's next version by the request's method; the last of the domains is new.

    Raises TaskError, MethodError, RangeError, Cancelled.
    """
    lesson, began = _lesson(work, domains), monotonic()
    version, before = _train(work, work.spec.method, lesson, parent, domains)
    notes = (*_notes(work, work.spec.method), *untrained(work.task.network(work.seed)))
    return result_of_update(work, parent, version, began - before, notes)


def require_recipes(work: Work, methods: Sequence[str]) -> None:
    """Raise Invalid or TaskError unless the request's parameters suit the methods."""
    for method in methods:
        _definition(work, method)


def _lesson(work: Work, domains: Sequence[str]) -> Lesson | Processes:
    """Return the lesson of these domains: the last is new, those before it are replayed.

    Where several accelerators are asked for, it is their processes, which read the domains themselves.
    """
    accelerators = choose_accelerators(work.spec.device)
    if len(accelerators) > 1:
        folders = tuple(Path(work.spec.data) / domain for domain in domains)
        return Processes(accelerators, partial(work.find, work.spec.task), folders)
    *earlier, new = (work.examples(domain, "train") for domain in domains)
    return Lesson(new, earlier)


def _train(
    work: Work, method: str, lesson: Lesson | Processes, parent: Parent | None, domains: Sequence[str]
) -> tuple[NewVersion, float]:
    """Return the version, and the seconds that workers before have trained for it."""
    keeper = work.states.of(work.part, _about(work, method, parent, domains)) if work.states else None
    version = make_version(
        work.task,
        _definition(work, method),
        lesson,
        work.out,
        seed=work.seed,
        parent=parent,
        budget=work.spec.budget,
        device=choose_accelerators(work.spec.device)[0],
        on_progress=lambda progress, message: work.on_progress(TRAINING_SHARE * progress, message),
        keeper=keeper,
    )
    return version, keeper.seconds_before if keeper else 0.0


def _about(work: Work, method: str, parent: Parent | None, domains: Sequence[str]) -> dict[str, str]:
    """Return what a state must agree in to be gone on from."""
    definition = _definition(work, method)
    return {
        "release": version_of("diffserver"),
        "torch": str(torch.__version__),  # which is more than a text
        "task": work.task.name,
        "parent": parent.digest if parent else "",
        "method": f"{method} {definition.recipe} {definition.schedule}",
        "budget": repr(work.spec.budget),
        "seed": str(work.seed),
        "data": fingerprint(Path(work.spec.data), domains),
    }


def _definition(work: Work, method: str) -> Definition:
    return definition_of(work.task, method, work.spec.parameters).with_epochs(work.spec.epochs)


def _notes(work: Work, method: str) -> Iterator[str]:
    """Yield the parameters with which a method was trained, where they are not the package's own, and its processes."""
    if changes := ", ".join(_definition(work, method).changes(load_definition(method))):
        yield f"{method} was trained with {changes}"
    if len(accelerators := choose_accelerators(work.spec.device)) > 1:
        yield f"{method} was trained in {len(accelerators)} processes: {', '.join(accelerators)}"
