"""Recipes: the settings that a method trains with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diffserver.methods.method import MethodError


@dataclass(frozen=True)
class Recipe:
    """The length, rate and batches of a training; each method's definition has its own."""

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

    def with_epochs(self, epochs: int | None) -> Recipe:
        """Return the recipe with this number of epochs (None: as it is); raises MethodError below 1."""
        if epochs is not None and epochs < 1:
            raise MethodError(f"{epochs} epochs train nothing: give at least 1")
        return self if epochs is None else replace(self, epochs=epochs)
