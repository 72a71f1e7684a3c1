"""Diffs for a model in a loop of one's own: `sparse`, `hashed`; and a model's weights as the snapshot to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from diffclient.tensors.snapshot import write_snapshot
from diffserver.diffs.parent import Parent, enter
from diffserver.diffs.trained_diff import OnStep, TrainedDiff
from diffserver.methods.hashed import HashedDiff, HashedSchedule
from diffserver.methods.parametrised import tensors
from diffserver.methods.setting import Setting
from diffserver.methods.sparse import SparseDiff, SparseSchedule
from diffserver.training.trainable import untrained


def sparse(
    model: nn.Module,
    budget: float = 0.02,
    steps: int = 1000,
    *,
    parent: str | Path | None = None,
    schedule: SparseSchedule | None = None,
    on_step: OnStep | None = None,
) -> TrainedDiff:
    """Freeze a model, and put a sparse diff in training onto its weights: some positions of each tensor will change.

    Args:
        model: What is trained further; its fp32 weights are rounded to grids once, which `notes` says. What does not
            require a gradient stays as it is, and so do buffers and other dtypes.
        budget: The most payload bytes, as a share of the model's bytes in fp32.
        steps: How many steps the optimiser will make.
        parent: A snapshot to start from, whose weights and grids the model is given; else it starts a line.
        schedule: When what of the values is used.
        on_step: Hears the numbers of every step.

    Raises LoopError, MethodError on a budget or a model that it cannot work with, RangeError, SnapshotError.
    """

    def method(setting: Setting) -> SparseDiff:
        return SparseDiff(setting, schedule or SparseSchedule())

    return _made(model, budget, steps, parent, method, on_step)


def hashed(
    model: nn.Module,
    budget: float = 0.02,
    steps: int = 1000,
    *,
    parent: str | Path | None = None,
    schedule: HashedSchedule | None = None,
    on_step: OnStep | None = None,
) -> TrainedDiff:
    """Freeze a model, and put a hashed diff in training onto its weights: positions share the values of buckets.

    The arguments and errors are those of `sparse`. Positions are hashed by the parent's digest.
    """

    def method(setting: Setting) -> HashedDiff:
        return HashedDiff(setting, schedule or HashedSchedule())

    return _made(model, budget, steps, parent, method, on_step)


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
    method: Callable[[Setting], SparseDiff | HashedDiff],
    on_step: OnStep | None,
) -> TrainedDiff:
    frozen = {name for name, tensor in tensors(model).items() if not tensor.requires_grad}
    start: Parent = enter(model, Path(parent) if parent else None)
    start = replace(start, notes=(*start.notes, *untrained(model)))
    setting = Setting(start.weights, start.table, budget, int(start.digest[:8], 16), model, frozen=frozen)
    return TrainedDiff(model, method(setting), steps, start, budget, on_step)
