"""The training loop: a task's network, a method in place of its weights, new examples and replayed ones.

It is seeded, and `on_progress` can stop it. Methods, losses and files are left to others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffserver.choices import hardware
from diffserver.methods.method import Method, MethodError
from diffserver.methods.parametrised import Parametrised
from diffserver.methods.recipe import Recipe
from diffserver.tasks import Example, Task
from diffserver.training.progress import Cancelled, OnProgress

SORTED_TOGETHER = 16  # batches' worth of examples that are sorted by size before they are cut into batches


@dataclass(frozen=True)
class Lesson:
    """The new domain's examples, and those of each earlier domain for replay."""

    new: Sequence[Example]
    earlier: Sequence[Sequence[Example]] = ()


def train(
    task: Task,
    network: nn.Module,
    method: Method,
    lesson: Lesson,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    hold_statistics: bool = True,
    on_progress: OnProgress | None = None,
) -> None:
    """Train the method's parameters through the network.

    `network` gives the computation only: its own weights are not used, and it ends with the parent's. The same seed
    gives the same weights on the same processor with as many threads; a GPU or another processor rounds differently,
    and the weights drift apart.

    Raises:
        Cancelled: `on_progress` answered False.
        MethodError: the device is not there, there is nothing to learn from, or the loss is not finite.
    """
    device, rng = choose_device(device), np.random.default_rng(seed)
    if not len(lesson.new):
        raise MethodError("there are no examples to learn from")
    torch.manual_seed(seed)  # for dropout in a task's network
    steps = _steps(lesson, recipe)
    diff = Parametrised(network.to(device), method, steps, hold_statistics=hold_statistics)
    optimizer = _optimiser(diff.parameters(), recipe)
    try:
        for step, examples in enumerate(_draw_batches(task, lesson, recipe, steps, rng)):
            progress = step / steps
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * _rate(progress, recipe.warmup)
            loss = task.loss(network, task.batch(examples, rng, device))
            _improve(optimizer, loss, recipe.clip)
            if on_progress and not on_progress(progress, f"step {step + 1} of {steps}, loss {loss.item():.3f}"):
                raise Cancelled(f"stopped at step {step + 1} of {steps}")
            diff.step()
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


def _replayed(lesson: Lesson, recipe: Recipe) -> int:
    """Return the number of examples in a batch that come from earlier domains."""
    return min(recipe.batch - 1, round(recipe.batch * recipe.replay)) if any(map(len, lesson.earlier)) else 0


def _steps(lesson: Lesson, recipe: Recipe) -> int:
    if recipe.epochs is None:
        return recipe.steps
    return math.ceil(recipe.epochs * len(lesson.new) / (recipe.batch - _replayed(lesson, recipe)))


def _draw_batches(
    task: Task, lesson: Lesson, recipe: Recipe, steps: int, rng: np.random.Generator
) -> Iterator[list[Example]]:
    """Yield one batch a step: new examples and replayed ones, each group of about equal size."""
    replayed = _replayed(lesson, recipe)
    new = _batches(task, _endless(lesson.new, rng), recipe.batch - replayed, rng)
    earlier = _batches(task, _taking_turns(lesson.earlier, rng), replayed, rng) if replayed else None
    for _ in range(steps):
        yield next(new) + (next(earlier) if earlier else [])


def _batches(task: Task, examples: Iterator[Example], size: int, rng: np.random.Generator) -> Iterator[list[Example]]:
    while True:
        pool = sorted((next(examples) for _ in range(SORTED_TOGETHER * size)), key=task.size)
        for number in rng.permutation(SORTED_TOGETHER):
            yield pool[number * size : (number + 1) * size]


def _endless(examples: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    while True:
        for number in rng.permutation(len(examples)):
            yield examples[number]


def _taking_turns(domains: Sequence[Sequence[Example]], rng: np.random.Generator) -> Iterator[Example]:
    """Yield examples of all domains, drawn by the square roots of the domains' sizes."""
    sources = [_endless(examples, rng) for examples in domains if len(examples)]
    roots = np.sqrt([len(examples) for examples in domains if len(examples)])
    while True:
        yield next(sources[rng.choice(len(sources), p=roots / roots.sum())])
