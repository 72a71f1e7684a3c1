"""Recipes: the settings that a method trains with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from diffserver.methods.method import MethodError

OPTIMISERS = ("adam", "sgd")
"""Adam with decoupled weight decay, and gradient descent with momentum."""


@dataclass(frozen=True)
class Recipe:
    """The length, rate and batches of a training; raises MethodError on values with which nothing can be trained.

    Each method's definition has its own; a task may give others.
    """

    steps: int
    learning_rate: float
    """The highest, reached after the warm-up."""
    batch: int = 16
    replay: float = 0.6
    """The share of every batch that comes from earlier domains, drawn by the square roots of their sizes."""
    warmup: float = 0.05
    """The share of training in which the learning rate rises."""
    clip: float = 5.0
    """The largest norm of all gradients together."""
    epochs: int | None = None
    """The number of times that every new example is seen; replaces `steps`."""
    optimiser: str = "adam"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name, (holds, wanted) in _RULES.items():
            if not holds(getattr(self, name)):
                raise MethodError(f"{name}={getattr(self, name)} trains nothing: give {wanted}")

    def with_epochs(self, epochs: int | None) -> Recipe:
        """Return the recipe with this number of epochs (None: as it is); raises MethodError below 1."""
        return self if epochs is None else replace(self, epochs=epochs)

    def with_value(self, name: str, value: Any) -> Recipe:
        """Return the recipe with one value changed; a number of steps takes the place of epochs. Raises MethodError."""
        exact = replace(self, epochs=None) if name == "steps" else self
        return replace(exact, **{name: value})


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "steps": (lambda steps: steps >= 1, "at least 1"),
    "epochs": (lambda epochs: epochs is None or epochs >= 1, "at least 1"),
    "learning_rate": (lambda rate: 0 < rate < math.inf, "a number above 0"),
    "batch": (lambda batch: batch >= 1, "at least 1"),
    "replay": (lambda share: 0 <= share < 1, "a share of every batch, from 0 to below 1"),
    "warmup": (lambda share: 0 <= share < 1, "a share of training, from 0 to below 1"),
    "clip": (lambda norm: norm > 0, "a number above 0"),
    "weight_decay": (lambda decay: 0 <= decay < math.inf, "0 or more"),
    "optimiser": (lambda name: name in OPTIMISERS, " or ".join(OPTIMISERS)),
}
