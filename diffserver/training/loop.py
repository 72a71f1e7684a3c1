"""The training loop: a task's network, a method in place of its weights, new examples and replayed ones.

It is seeded, `on_progress` can stop it, and with a keeper it goes on from where it was saved last. Methods, losses and
files are left to others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from diffserver.choices import hardware
from diffserver.methods.method import Method, MethodError
from diffserver.methods.parametrised import Parametrised
from diffserver.methods.recipe import Recipe
from diffserver.training.batches import Batches, Lesson, Subject, steps_of
from diffserver.training.progress import Cancelled, OnProgress
from diffserver.training.saved_state import Keeper, Running


def train(
    task: Subject,
    network: nn.Module,
    method: Method,
    lesson: Lesson,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    hold_statistics: bool = True,
    on_progress: OnProgress | None = None,
    keeper: Keeper | None = None,
) -> None:
    """Train the method's parameters through the network.

    `network` gives the computation only: its own weights are not used, and it ends with the parent's. The same seed
    gives the same weights on the same processor with as many threads; a GPU or another processor rounds differently,
    and the weights drift apart.

    Raises:
        Cancelled: `on_progress` answered False.
        MethodError: the device is not there, there is nothing to learn from, or the loss is not finite.
        UnfitState: the keeper's last state is of another training.
    """
    device, rng = choose_device(device), np.random.default_rng(seed)
    if not len(lesson.new):
        raise MethodError("there are no examples to learn from")
    torch.manual_seed(seed)  # for dropout in a task's network
    steps = steps_of(lesson, recipe)
    diff = Parametrised(network.to(device), method, steps, hold_statistics=hold_statistics)
    batches, optimizer = Batches(task, lesson, recipe, rng), _optimiser(diff.parameters(), recipe)
    running = Running(diff, optimizer, batches)
    try:
        if keeper and (state := keeper.last()):
            running.restore(state)
        while diff.done < steps:
            progress = diff.done / steps
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * _rate(progress, recipe.warmup)
            loss = task.loss(network, task.batch(batches.draw(), rng, device))
            _improve(optimizer, loss, recipe.clip)
            where = f"step {diff.done + 1} of {steps}"
            if on_progress and not on_progress(progress, f"{where}, loss {loss.item():.3f}"):
                raise Cancelled(f"stopped at {where}")
            diff.step()
            if keeper:
                keeper.keep(running.state, ended=diff.done == steps)
    finally:
        diff.remove()


def choose_device(name: str) -> str:
    """Return the device's name, of `auto` the best device here; raises MethodError if there is no such device."""
    devices = hardware.names(torch.cuda.device_count())
    if name not in devices:
        raise MethodError(f"PyTorch finds no device {name!r} here: train with {', '.join(devices)}")
    return name if name != "auto" else "cuda" if "cuda" in devices else "cpu"


def _optimiser(parameters: Iterator[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=decay)


def _improve(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> None:
    if not torch.isfinite(loss):
        raise MethodError("the loss is not finite: lower the learning rate or look for broken examples")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    optimizer.step()


def _rate(progress: float, warmup: float) -> float:
    """Return the learning rate as a share of its highest: linear warm-up, then half a cosine down."""
    if progress < warmup:
        return (progress + 0.001) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
