"""A process's line to its parent; the training loop takes it for the keeper of states.

Before it says that a step was made, processes see now and then that they train the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from diffserver.methods.method import MethodError
from diffserver.training import saved_state
from diffserver.training.parallel.messages import SAVE, Here, Progress, Saved, Step
from diffserver.training.saved_state import State

START, STATE = "start", "state"
"""The files of the state to go on from, and of the one that was saved last."""

ALIKE_STEPS = 100
"""After so many steps processes compare what they train."""


class Link:
    """What a process says to its parent; to the training loop it is the keeper of states."""

    def __init__(self, rank: int, end: Connection, files: Path) -> None:
        self._rank, self._end, self._files = rank, end, files
        self._step = 0
        self._noted = (0.0, "")

    def here(self) -> int:
        """Say that this process waits for no other, and return its step."""
        self._end.send(Here())
        return self._step

    def reads(self, folder: Path) -> None:
        """Say that a folder is read."""
        if self._rank == 0:
            self._end.send(Progress(0.0, f"reads {folder.name}"))

    def note(self, progress: float, message: str) -> bool:
        """Keep the progress for the end of the step. A training is cancelled by the parent, who ends its processes."""
        self._noted = (progress, message)
        return True

    def last(self) -> State | None:
        """Return the state to go on from."""
        path = self._files / START
        if not path.exists():
            return None
        state = saved_state.read(path)
        with suppress(KeyError, TypeError):  # what is no state of this training, the loop refuses
            self._step = state["diff"]["done"]
        return state

    def refuse(self, reason: str) -> None:
        """Leave it to the parent, who hears of it by the error."""

    def keep(self, state: Callable[[], State], *, ended: bool) -> None:
        """Say that a step was made, and save the state where the parent asks for it."""
        self._step += 1
        if ended or self._step % ALIKE_STEPS == 0:
            _require_alike(state())
        if self._rank == 0:
            if ended:
                self._save(state)
            self._end.send(Step(*self._noted, ended))
            while self._end.recv() == SAVE:
                self._save(state)
                self._end.send(Saved())

    def _save(self, state: Callable[[], State]) -> None:
        saved_state.write(state(), self._files / STATE)


def _require_alike(state: State) -> None:
    """Raise MethodError unless all processes train the same values, and have decided the same of them."""
    whole = hashlib.sha256()
    _add(whole, [state["diff"]["values"], state["diff"]["schedule"]])
    digests: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(digests, whole.hexdigest())
    if len(set(digests)) > 1:
        raise MethodError(
            f"the processes no longer train the same diff after step {state['diff']['done']}: "
            "use accelerators of one kind, or one alone"
        )


def _add(whole: Any, value: object) -> None:
    """Add a value to a hash: tensors by their bytes, in order."""
    if isinstance(value, Tensor):
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        _add(whole, list(value.items()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(whole, item)
    else:
        whole.update(repr(value).encode())
