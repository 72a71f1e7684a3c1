"""Train in several processes, one on each accelerator; this one keeps what they save, and takes on what they end with.

It calculates nothing itself: it holds the lease, hears how far they are, and can end them at any time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from diffserver.choices import hardware
from diffserver.methods.method import Method, MethodError
from diffserver.methods.parametrised import Parametrised
from diffserver.methods.setting import Setting
from diffserver.tasks import Task
from diffserver.training import saved_state
from diffserver.training.assignment import Assignment
from diffserver.training.loop import choose_device
from diffserver.training.parallel.link import START, STATE
from diffserver.training.parallel.messages import Done, Saved, Step
from diffserver.training.parallel.rank import Orders
from diffserver.training.parallel.ranks import Ranks, started
from diffserver.training.progress import OnProgress
from diffserver.training.saved_state import Keeper, State


def choose_accelerators(name: str) -> tuple[str, ...]:
    """Return the accelerators of which each trains in a process of its own; raises MethodError if one is not there."""
    accelerators = tuple(map(choose_device, hardware.listed(name, torch.cuda.device_count())))
    twice = [name for name in accelerators if name != "cpu" and accelerators.count(name) > 1]
    if twice:
        raise MethodError(f"{twice[0]} is named twice: one process trains on each")
    return accelerators


@dataclass(frozen=True)
class Processes:
    """The processes of one training; each finds the task and its examples by itself."""

    accelerators: tuple[str, ...]
    find: Callable[[], Task]
    """It is pickled."""
    folders: tuple[Path, ...]
    """The domains' folders, the new one's last."""

    def train(
        self,
        assignment: Assignment,
        setting: Setting,
        folder: Path,
        on_progress: OnProgress | None,
        keeper: Keeper | None,
    ) -> Method:
        """Return the method as the processes have trained it.

        Raises Cancelled, MethodError with the cause if a process fails or hangs, UnfitState, RankError.
        """
        method, recipe = assignment.definition.make(setting), assignment.definition.recipe
        count = len(self.accelerators)
        if recipe and recipe.batch < count:
            raise MethodError(
                f"{count} processes cannot share batches of {recipe.batch}: name fewer accelerators, or take larger "
                f"batches (--set batch={count})"
            )
        start = keeper.last() if keeper else None
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
            files, threads = Path(name), max(1, torch.get_num_threads() // count)
            if start is not None:
                saved_state.write(start, files / START)
            orders = Orders(assignment, self.accelerators, self.find, self.folders, files, threads)
            with started(orders, on_progress or (lambda _progress, _message: True)) as ranks:
                end = _follow(ranks, keeper, files / STATE) or start
        assert end is not None  # or a step would have been made
        diff = Parametrised(setting.network, method, end["diff"]["done"])
        diff.restore(end["diff"])
        diff.remove()
        return method


def _follow(ranks: Ranks, keeper: Keeper | None, path: Path) -> State | None:
    """Follow the training to its end, and return the state there; None if no step was left to do."""
    end: State | None = None

    def saved() -> State:
        if end is not None:
            return end
        ranks.save()
        while not isinstance(ranks.hear(), Saved):
            pass
        return saved_state.read(path)

    while not isinstance(said := ranks.hear(), Done):
        if isinstance(said, Step):
            if said.ended:
                end = saved_state.read(path)
            if keeper:
                keeper.keep(saved, ended=said.ended)
            ranks.go()
    return end
