"""One training without its task and its examples: what it starts from and what is trained, for any process to take on.

It can be pickled. Writing the version that comes of it is left to `make_version`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from diffclient.tensors.snapshot import Snapshot, Table, enter_grid
from diffserver.methods.definition import Definition
from diffserver.methods.method import Method, Weights
from diffserver.methods.setting import Setting
from diffserver.tasks import Task
from diffserver.training.batches import Lesson, Subject
from diffserver.training.loop import train
from diffserver.training.progress import OnProgress
from diffserver.training.saved_state import Keeper
from diffserver.training.state_arrays import state_of
from diffserver.training.trainable import require_trainable


@dataclass(frozen=True)
class Assignment:
    """A method, and the parent from which it makes a version; version 0 has none."""

    definition: Definition
    seed: int
    parent: Snapshot | None
    budget: float
    full: Snapshot | None
    """The fully retrained model that some methods compress."""

    def setting(self, task: Task) -> Setting:
        """Return what the method is made of; raises TaskError if the task's network cannot be trained."""
        network = task.network(self.seed)
        require_trainable(network, first=self.parent is None)
        table, weights = self._start(network)
        full = None if self.full is None else self.full.read_all()
        return Setting(weights, table, self.budget, self.seed, network, full)

    def train(
        self,
        setting: Setting,
        subject: Subject,
        lesson: Lesson,
        *,
        device: str = "auto",
        on_progress: OnProgress | None = None,
        keeper: Keeper | None = None,
    ) -> Method:
        """Return the method, trained if it is one that is trained; raises as `loop.train` does."""
        method = self.definition.make(setting)
        if recipe := self.definition.recipe:
            train(
                subject, setting.network, method, lesson, recipe, seed=self.seed, device=device,
                hold_statistics=self.parent is not None, on_progress=on_progress, keeper=keeper,
            )  # fmt: skip
        return method

    def _start(self, network: nn.Module) -> tuple[Table, Weights]:
        """Return the table and weights to start from: the parent's, or the network's with grids chosen anew."""
        if self.parent is not None:
            return self.parent.table, self.parent.read_all()
        state = state_of(network)
        return enter_grid(state.arrays, off_grid=state.constants, constants=state.constants)[0], state.arrays
