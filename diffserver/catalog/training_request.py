"""What a training is asked to do, and whether that makes sense by itself.

Whether there is a model to do it on is the affair of `training_queue`.
"""

from dataclasses import dataclass
from typing import Literal

from diffserver.catalog.names import require_name
from diffserver.errors import Invalid

Kind = Literal["base", "update"]
MethodName = Literal["sparse", "hashed", "full", "exact", "auto"]

BUDGET, BUDGET_WITHIN_DRIFT = 0.02, 0.05
"""What a payload may be of the fp32 bytes where nothing was said: by itself, and where drift is what bounds it."""


@dataclass(frozen=True)
class TrainingSpec:
    """What to train; `budget` is a share of the fp32 snapshot's bytes, `max_regression` points absolute.

    With `max_drift`, points of mean WER over the fully retrained model's, the smallest payload is looked for that keeps
    to it; `budget` is its limit. The method `auto` tries both kinds of diff. Neither takes more than three trainings.

    With a `checkpoint` (the SHA-256 of an object) nothing is trained: its weights become the base, or a `sparse` or
    `exact` diff. `off_grid` names a base's fp32 tensors that enter no grid.
    """

    kind: Kind
    model: str
    data: str
    task: str = "asr"
    domain: str | None = None
    method: MethodName = "sparse"
    budget: float = BUDGET
    seed: int = 0
    epochs: int | None = None
    device: str = "auto"
    max_regression: float | None = 5.0
    max_drift: float | None = None
    checkpoint: str | None = None
    off_grid: tuple[str, ...] = ()


def require_sense(spec: TrainingSpec) -> None:
    """Raise Invalid if its parts contradict each other, or its domain has a name that none can have."""
    if spec.domain is not None:
        require_name(spec.domain, "domain")
    if spec.max_drift is not None or spec.method == "auto":
        _require_search(spec)
    if spec.kind == "update" and spec.checkpoint is None and spec.method == "exact":
        raise Invalid("exact is how a checkpoint's weights travel; nothing is trained so", "train sparse or hashed")
    if spec.kind == "update" and spec.checkpoint is not None and spec.method not in ("sparse", "exact"):
        raise Invalid(f"a checkpoint does not become a {spec.method} diff", "choose sparse or exact")
    if spec.off_grid and (spec.kind, spec.checkpoint is None) != ("base", False):
        raise Invalid("tensors are kept off the grid when a checkpoint becomes a base", "leave off_grid out")


def _require_search(spec: TrainingSpec) -> None:
    """Raise Invalid where there is nothing to search."""
    wish = "method auto" if spec.max_drift is None else "a bound on drift"
    if spec.checkpoint is not None:
        raise Invalid(f"{wish} is for trainings; a checkpoint's weights are given", "pass a budget and a method")
    if spec.kind == "base":
        raise Invalid(f"{wish} is for updates; a base has no payload", "leave it out")
    if spec.method in ("full", "exact"):
        raise Invalid(f"{wish} is for diffs that are trained, not for {spec.method}", "choose sparse, hashed or auto")
