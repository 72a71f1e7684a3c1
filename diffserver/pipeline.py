"""The pipeline: train → encode → decode and apply with the device's own code → evaluate that → a candidate.

The one module that joins training and the database. What is recorded is never what training held in memory,
but what a device will compute. Claiming trainings and recording candidates are the worker's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from sqlalchemy import Engine

from diffclient import arithmetic
from diffclient.weights import Array, Snapshot, Table, enter_grid, write_snapshot
from diffserver import shortcuts
from diffserver.assess import assess
from diffserver.blobs import Objects
from diffserver.candidate import NewCandidate
from diffserver.from_checkpoint import enter, update
from diffserver.jobs import TrainingSpec
from diffserver.methods import Method, load_method
from diffserver.parent import Parent, choose_domain, load_parent
from diffserver.self_apply import count_changed, self_apply
from diffserver.tasks import load_task
from diffserver.training import Lesson, OnProgress, recipe_for, train
from diffserver.work import TRAINING_SHARE, Result, Work


def run(spec: TrainingSpec, engine: Engine, objects: Objects, folder: Path, on_progress: OnProgress) -> NewCandidate:
    """Do one training; intermediate files go to `folder`, which the caller removes.

    Raises Invalid, TaskError, MethodError, RangeError, and Cancelled once `on_progress` answers False.
    """
    work = Work(spec, load_task(spec.task), objects, folder, on_progress)
    if spec.kind == "base":
        domain = choose_domain(spec, ())
        return assess(work, None, enter(work) if spec.checkpoint else _train_base(work, [domain]), domain)
    parent = load_parent(spec, engine, objects, folder)
    work = replace(work, number=parent.number + 1)
    if spec.checkpoint:
        new = choose_domain(spec, parent.domains) if spec.domain else None
        result = update(work, parent)
    else:
        new = choose_domain(spec, parent.domains)
        result = _train_update(work, parent, [*parent.domains, new])
    return assess(work, parent, replace(result, shortcuts=shortcuts.make(work, engine, parent, result)), new)


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
    lesson, began = _lesson(work, domains), monotonic()
    spec, table = work.spec, parent.snapshot.table
    method = load_method(spec.method, parent.snapshot.read_all(), table, spec.budget, work.seed)
    trained = _train(work, method, lesson, spec.method)
    learned = method.diff()
    if learned is not None:
        return self_apply(work, parent, learned, began)
    weights, graph = work.folder / "version.safetensors", work.objects.get(parent.graph.sha256)
    digest = write_snapshot(weights, table, _on_grid(table, trained))
    changed = count_changed(parent.snapshot, Snapshot(weights))
    return Result(weights, digest, table, graph, "snapshot", None, changed, monotonic() - began)


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


def _on_grid(table: Table, trained: Mapping[str, Array]) -> list[Array]:
    """Round a fully retrained model's weights to the grids of its line; raises RangeError."""

    def rounded(array: Array, grid: int) -> Array:
        return arithmetic.from_grid(arithmetic.round_to_grid(array, grid), grid)

    return [trained[spec.name] if spec.grid is None else rounded(trained[spec.name], spec.grid) for spec in table]
