"""One training: a lesson from the data, a method in place of the weights, and the version that devices will have of it.

What the loop does is `training.loop`'s, what a method trains is its own; which training is done is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from time import monotonic

from diffclient.diff.streams import Diff
from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from diffserver.method_registry import BASE
from diffserver.methods.definition import load_definition
from diffserver.methods.method import Method
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.pipeline.apply_as_device import count_changed, self_apply
from diffserver.pipeline.job_context import TRAINING_SHARE, Result, Work
from diffserver.pipeline.parent_version import Parent
from diffserver.training import clip_to_grid
from diffserver.training.loop import Lesson, train


def learn_base(work: Work, domain: str) -> Result:
    """Train version 0 from nothing; raises TaskError, MethodError, Cancelled."""
    lesson, began = _lesson(work, [domain]), monotonic()
    network = work.task.network(work.seed)
    initial = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    graph = work.task.graph(network)  # before training, which a network that no device can run is not worth
    table, _ = enter_grid(initial)
    definition = load_definition(BASE).lasting(work.spec.epochs)
    method = definition.make(Setting(initial, table, 1.0, work.seed, network))
    assert definition.recipe
    table, arrays = enter_grid(_train(work, method, lesson, definition.recipe))
    weights = work.folder / "version.safetensors"
    digest = write_snapshot(weights, table, (arrays[spec.name] for spec in table))
    return Result(weights, digest, table, graph, "snapshot", None, 0, monotonic() - began)


def learn_update(work: Work, parent: Parent, domains: Sequence[str]) -> Result:
    """Train the parent's next version by the method that was asked for; the last of the domains is new.

    Raises TaskError, MethodError, RangeError, Cancelled.
    """
    lesson, began = _lesson(work, domains), monotonic()
    spec, table = work.spec, parent.snapshot.table
    definition = load_definition(spec.method).lasting(spec.epochs)
    network = work.task.network(work.seed)
    method = definition.make(Setting(parent.snapshot.read_all(), table, spec.budget, work.seed, network))
    if definition.recipe:
        _train(work, method, lesson, definition.recipe)
    learned = method.result()
    if isinstance(learned, Diff):
        return self_apply(work, parent, learned, began)
    weights, graph = work.folder / "version.safetensors", work.objects.get(parent.graph.sha256)
    digest = write_snapshot(weights, table, clip_to_grid.enter(table, learned.weights))
    changed = count_changed(parent.snapshot, Snapshot(weights))
    return Result(weights, digest, table, graph, "snapshot", None, changed, monotonic() - began)


def _lesson(work: Work, domains: Sequence[str]) -> Lesson:
    """The last domain is new, those before it are replayed."""
    *earlier, new = (work.examples(domain, "train") for domain in domains)
    return Lesson(new, earlier)


def _train(work: Work, method: Method, lesson: Lesson, recipe: Recipe) -> Mapping[str, Array]:
    return train(
        work.task,
        work.task.network(work.seed),
        method,
        lesson,
        recipe,
        seed=work.seed,
        device=work.spec.device,
        on_progress=lambda done, message: work.on_progress(TRAINING_SHARE * done, message),
    )
