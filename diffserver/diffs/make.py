"""Diffs for a model in a loop of one's own: `sparse`, `hashed`; and a model's weights as the snapshot to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from diffclient.tensors.snapshot import Array, Table, write_snapshot
from diffserver.checkpoints.int8_scales import Scales, as_scale
from diffserver.checkpoints.tensor_array import as_array
from diffserver.diffs.parent import enter
from diffserver.diffs.trained_diff import OnStep, TrainedDiff
from diffserver.methods.hashed import HashedDiff, HashedSchedule
from diffserver.methods.parametrised import LoopError, tensors
from diffserver.methods.setting import Setting
from diffserver.methods.sparse import SparseDiff, SparseSchedule
from diffserver.training.trainable import untrained

TensorScales = Mapping[str, Tensor | float]
"""By int8 tensor its scale: a number, one number for each index of an axis, or what broadcasts to the tensor."""


def sparse(
    model: nn.Module,
    budget: float = 0.02,
    steps: int = 1000,
    *,
    parent: str | Path | None = None,
    scales: TensorScales | None = None,
    schedule: SparseSchedule | None = None,
    on_step: OnStep | None = None,
) -> TrainedDiff:
    """Freeze a model, and put a sparse diff in training onto its weights: some positions of each tensor will change.

    Args:
        model: What is trained further; its fp32 weights are rounded to grids once, which `notes` says. What does not
            require a gradient stays as it is, and so do buffers and other dtypes, but for int8 tensors with scales.
        budget: The most payload bytes, as a share of the model's bytes in fp32.
        steps: How many steps the optimiser will make.
        parent: A snapshot to start from, whose weights and grids the model is given; else it starts a line.
        scales: The int8 tensors that are trained, in whole steps, with their scales. Left out, they are those with a
            `weight_scale` beside them.
        schedule: When what of the values is used.
        on_step: Hears the numbers of every step.

    Raises LoopError, MethodError on a budget or a model that it cannot work with, RangeError, SnapshotError.
    """

    def method(setting: Setting) -> SparseDiff:
        return SparseDiff(setting, schedule or SparseSchedule())

    return _made(model, budget, steps, parent, scales, method, on_step)


def hashed(
    model: nn.Module,
    budget: float = 0.02,
    steps: int = 1000,
    *,
    parent: str | Path | None = None,
    scales: TensorScales | None = None,
    schedule: HashedSchedule | None = None,
    on_step: OnStep | None = None,
) -> TrainedDiff:
    """Freeze a model, and put a hashed diff in training onto its weights: positions share the values of buckets.

    The arguments and errors are those of `sparse`. Positions are hashed by the parent's digest.
    """

    def method(setting: Setting) -> HashedDiff:
        return HashedDiff(setting, schedule or HashedSchedule())

    return _made(model, budget, steps, parent, scales, method, on_step)


def snapshot(model: nn.Module, path: str | Path) -> str:
    """Write a model's weights, rounded to grids in the model, too, as a line's version 0; return its digest.

    Raises RangeError, SnapshotError, OSError.
    """
    start = enter(model)
    return write_snapshot(Path(path), start.table, (start.weights[spec.name] for spec in start.table))


def _made(
    model: nn.Module,
    budget: float,
    steps: int,
    parent: str | Path | None,
    scales: TensorScales | None,
    method: Callable[[Setting], SparseDiff | HashedDiff],
    on_step: OnStep | None,
) -> TrainedDiff:
    frozen = {name for name, tensor in tensors(model).items() if not tensor.requires_grad}
    start = enter(model, Path(parent) if parent else None)
    told = None if scales is None else _scales(scales, start.table)
    start = replace(start, notes=(*start.notes, *untrained(model, told)))
    setting = Setting(start.weights, start.table, budget, int(start.digest[:8], 16), model, frozen=frozen, scales=told)
    return TrainedDiff(model, method(setting), steps, start, budget, on_step)


def _scales(told: TensorScales, table: Table) -> Scales:
    """Return scales that fit their tensors; raises LoopError naming one that does not."""
    shapes = {spec.name: spec.shape for spec in table if spec.dtype == "I8"}
    scales: dict[str, Array] = {}
    for name, scale in told.items():
        if name not in shapes:
            raise LoopError(
                f"the model has no int8 tensor {name}", f"name one of {', '.join(shapes) or 'a model in int8'}"
            )
        found = as_scale(as_array(scale) if isinstance(scale, Tensor) else scale, shapes[name])
        if found is None:
            raise LoopError(
                f"the scale of {name} is not positive, or does not fit its shape {list(shapes[name])}",
                "give one number, one for each index of an axis, or a tensor that broadcasts",
            )
        scales[name] = found
    return scales
