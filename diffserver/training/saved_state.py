"""A training's state between two steps: whoever goes on from it ends with the bits of one that never stopped.

It is written with `torch.save` and read so that no code in it runs. Where states are kept, and how often one is taken,
is left to a keeper.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch

from diffserver.methods.parametrised import Parametrised
from diffserver.training.batches import Batches

State = dict[str, Any]
"""Tensors, numbers and texts, in lists and by name."""


class UnfitState(Exception):
    """A state that cannot be read, or is of another training."""


class Keeper(Protocol):
    """Who keeps the states of one training."""

    def last(self) -> State | None:
        """Return the state to go on from; None to begin."""

    def refuse(self, reason: str) -> None:
        """Hear that the last state does not fit; `last` returns None from then on."""

    def keep(self, state: Callable[[], State], *, ended: bool) -> None:
        """Hear that a step was made, the last one if it `ended`; take the state if it is time for that."""


class Running:
    """A training between two steps: what is trained, its optimiser, and the batches to come."""

    def __init__(self, diff: Parametrised, optimizer: torch.optim.Optimizer, batches: Batches) -> None:
        self.diff, self.optimizer, self.batches = diff, optimizer, batches
        self._device = optimizer.param_groups[0]["params"][0].device

    def state(self) -> State:
        """Return the state, whose tensors the next step changes."""
        return {
            "diff": self.diff.state(),
            "optimiser": self.optimizer.state_dict(),
            "batches": self.batches.state(),
            "torch": torch.get_rng_state(),  # for dropout in a task's network
            "cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }

    def restore(self, state: State) -> None:
        """Go on from a state; raises UnfitState, after which this training is of no use."""
        try:
            self.diff.restore(state["diff"])
            self.optimizer.load_state_dict(state["optimiser"])
            self.batches.restore(state["batches"])
            torch.set_rng_state(state["torch"])
            if state["cuda"] is not None and self._device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda"], self._device)
        except Exception as error:  # whatever a state of another training makes the parts raise
            raise UnfitState(f"it does not fit: {type(error).__name__}: {error}") from error


def write(state: State, path: Path) -> None:
    """Write a state to a file; raises OSError."""
    try:
        torch.save(state, path)
    except RuntimeError as error:  # as torch says that a disk is full
        raise OSError(str(error).partition("\n")[0]) from error


def read(path: Path) -> State:
    """Read a state from a file, running no code that it holds; raises UnfitState."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UnfitState("it cannot be read: it holds more than tensors, numbers and texts") from error
    except Exception as error:  # of many kinds, as bytes may be anything
        reason = str(error).partition("\n")[0]
        raise UnfitState(f"it cannot be read: {reason}") from error
    if not isinstance(state, dict):
        raise UnfitState("it holds no state")
    return state
