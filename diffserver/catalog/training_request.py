"""A request for a training, and the check that it makes sense by itself.

Whether there is a model to do it on is the affair of `training_queue`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from diffclient.measure.error_count import Errors
from diffserver.catalog.names import require_name
from diffserver.choices.channels import STABLE
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import AUTO, DEFAULT, Use, method_names
from diffserver.errors import Invalid

Kind = Literal["base", "update"]

BUDGET, BUDGET_WITHIN_DRIFT = 0.02, 0.05
"""What a payload may be of the fp32 bytes where nothing was said: by itself, and where drift is what bounds it."""


@dataclass(frozen=True)
class TrainingSpec:
    """A request for a training; `budget` is a share of the fp32 snapshot's bytes, `max_regression` points absolute.

    An update starts from what its `channel` stands at.

    With `max_drift`, points of mean error rate over the fully retrained model's or the checkpoint's, the smallest
    payload is sought that keeps to it; `budget` is its limit. The method `auto` tries several. Neither takes more than
    three trainings.

    With a `checkpoint` (the SHA-256 of an object) nothing is trained: its weights become the base, or a diff.
    With the method `snapshot` they become the next version whole, with their own tensors and graph. With the method
    `given` it is a payload, a diff that was trained elsewhere, and `measured` is what its maker found.
    `parameters` are those of the method's recipe or schedule, as text by name; of `auto`, of each that is tried.
    `off_grid` names a base's fp32 tensors that enter no grid. Without a task (`delivery`) there is no `data`; then
    `graph` is the SHA-256 of the graph that comes with the weights, if one does.
    """

    kind: Kind
    model: str
    data: str = ""
    task: str = "asr"
    domain: str | None = None
    method: str = DEFAULT
    budget: float = BUDGET
    seed: int = 0
    epochs: int | None = None
    device: str = "auto"
    max_regression: float | None = 5.0
    max_drift: float | None = None
    checkpoint: str | None = None
    off_grid: tuple[str, ...] = ()
    measured: Mapping[str, Errors] = field(default_factory=dict)
    graph: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    channel: str = STABLE


def methods_to_ask_for() -> tuple[str, ...]:
    """Return the methods that a request may name."""
    uses = (Use.TRAINING, Use.CHECKPOINT, Use.WHOLE, Use.DIFF)
    return (*dict.fromkeys(name for use in uses for name in method_names(use)), AUTO)


def require_sense(spec: TrainingSpec) -> None:
    """Raise Invalid if it names no method or no possible domain, or if its parts contradict each other."""
    if spec.method not in methods_to_ask_for():
        known = ", ".join(methods_to_ask_for())
        raise Invalid(f"there is no method {spec.method!r} to ask for", f"choose among {known}")
    if spec.domain is not None:
        require_name(spec.domain, "domain")
    if spec.max_drift is not None or spec.method == AUTO:
        _require_search(spec)
    if spec.kind == "update":
        _require_use(spec)
    if spec.off_grid and (spec.kind, spec.checkpoint is None) != ("base", False):
        raise Invalid("tensors are kept off the grid when a checkpoint becomes a base", "leave off_grid out")
    if spec.measured and spec.method not in method_names(Use.DIFF):
        raise Invalid("figures of one's own come with a diff of one's own", "leave them out")
    if spec.parameters:
        _require_training(spec)
    if spec.graph and not (spec.kind == "base" or spec.method in method_names(Use.WHOLE)):
        raise Invalid("a graph comes with a whole version, and a diff keeps its parent's", "leave graph out")


def require_deliverable(spec: TrainingSpec) -> None:
    """Raise Invalid unless the request, for the task that its model has, brings what that needs."""
    if spec.task != DELIVERY:
        if spec.graph:
            raise Invalid(f"the graph is that of the network of the task {spec.task}", "leave graph out")
        if not spec.data:
            raise Invalid(f"no data for the task {spec.task}", "pass --data; without a task a checkpoint needs none")
    elif spec.checkpoint is None:
        raise Invalid(
            f"model {spec.model} is delivered without a task, and cannot be trained here", "pass a checkpoint"
        )
    elif spec.max_drift is not None:
        raise Invalid(
            f"model {spec.model} is delivered without a task, and has no error rate to bound", "pass a budget"
        )
    elif spec.data or spec.domain:
        raise Invalid(f"model {spec.model} is delivered without a task: no data can measure it", "leave data out")


def _require_training(spec: TrainingSpec) -> None:
    """Raise Invalid where parameters say nothing, or say the length of training twice."""
    if spec.checkpoint is not None:
        raise Invalid("of a checkpoint or a diff nothing is trained", "leave parameters out")
    lengths = [name for name in ("epochs", "steps") if name in spec.parameters]
    if lengths and (spec.epochs is not None or len(lengths) > 1):
        raise Invalid("the length of training is given twice", "give epochs or steps, once")


def _require_use(spec: TrainingSpec) -> None:
    """Raise Invalid unless an update may be made by the method."""
    trained = method_names(Use.TRAINING)
    carried = tuple(name for use in (Use.CHECKPOINT, Use.WHOLE, Use.DIFF) for name in method_names(use))
    if spec.checkpoint is None and spec.method not in (*trained, AUTO):
        reason = f"{spec.method} is how a checkpoint's weights travel; nothing is trained so"
        raise Invalid(reason, f"train {' or '.join(method_names(Use.TRAINED_DIFF))}")
    if spec.checkpoint is not None and spec.method not in carried:
        raise Invalid(f"a checkpoint does not become a {spec.method} diff", f"choose {', '.join(carried)}")


def _require_search(spec: TrainingSpec) -> None:
    """Raise Invalid where there is nothing to search."""
    wish = "method auto" if spec.max_drift is None else "a bound on drift"
    if spec.checkpoint is not None and spec.method == AUTO:
        raise Invalid(f"method {AUTO} is for trainings; a checkpoint's weights are given", "pass a budget and a method")
    cut = method_names(Use.TRAINED_DIFF | Use.CHECKPOINT)
    searched = (*method_names(Use.TRAINED_DIFF), AUTO) if spec.checkpoint is None else cut
    if spec.kind == "base":
        raise Invalid(f"{wish} is for updates; a base has no payload", "leave it out")
    if spec.method not in searched:
        reason = f"{wish} is for diffs that are made to a budget, not for {spec.method}"
        raise Invalid(reason, f"choose {' or '.join(searched)}")
