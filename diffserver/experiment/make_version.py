"""One version in the making, as the pipeline makes it: train, encode, decode and apply with the device's own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import enter_grid, write_snapshot
from diffserver.experiment.cache import Version
from diffserver.methods.definition import Definition
from diffserver.methods.method import Method, Packed, Weights
from diffserver.methods.setting import Setting
from diffserver.tasks import Task
from diffserver.training import clip_to_grid
from diffserver.training.loop import Lesson, train

OnProgress = Callable[[float, str], None]
"""Hears how far the work at hand is (0 to 1), and what it is."""


@dataclass(frozen=True)
class Order:
    """A version that is wanted: a base if it has no parent."""

    definition: Definition
    seed: int
    number: int = 0
    """Of the version in its chain."""
    parent: Version | None = None
    budget: float = 1.0
    full: Version | None = None
    """The fully retrained model that the method compresses."""

    @property
    def own_seed(self) -> int:
        """Another one for each version, as in the pipeline: hashed diffs of a chain share no buckets."""
        return self.seed + self.number


@dataclass(frozen=True)
class Making:
    """An order and what is needed to fill it."""

    order: Order
    task: Task
    lesson: Lesson
    device: str
    on_progress: OnProgress

    def write(self, out: Path) -> tuple[bytes, str]:
        """Write the version's weights; return its payload (empty where nothing compresses it) and digest.

        Raises MethodError, RangeError, PayloadError.
        """
        return (b"", self._base(out)) if self.order.parent is None else self._update(self.order.parent, out)

    def _base(self, out: Path) -> str:
        network = self.task.network(self.order.own_seed)
        initial = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
        table = enter_grid(initial)[0]
        method = self.order.definition.make(Setting(initial, table, 1.0, self.order.own_seed, network))
        table, arrays = enter_grid(self._trained(method))
        return write_snapshot(out, table, (arrays[spec.name] for spec in table))

    def _update(self, parent: Version, out: Path) -> tuple[bytes, str]:
        before, definition = parent.snapshot, self.order.definition
        method = definition.make(self._setting(parent))
        if definition.recipe:
            self._trained(method)
        result = method.result()
        if isinstance(result, Diff):
            payload = encode(result, before.table, parent.digest)
            return payload, apply(before, [open_payload(payload, before.table, parent.digest)], out)
        payload = result.payload if isinstance(result, Packed) else b""
        return payload, write_snapshot(out, before.table, clip_to_grid.enter(before.table, result.weights))

    def _setting(self, parent: Version) -> Setting:
        before, full = parent.snapshot, self.order.full
        network = self.task.network(self.order.own_seed)
        teacher = None if full is None else full.snapshot.read_all()
        return Setting(before.read_all(), before.table, self.order.budget, self.order.own_seed, network, teacher)

    def _trained(self, method: Method) -> Weights:
        def hear(done: float, message: str) -> bool:
            self.on_progress(done, message)
            return True

        assert self.order.definition.recipe is not None
        return train(
            self.task,
            self.task.network(self.order.own_seed),
            method,
            self.lesson,
            self.order.definition.recipe,
            seed=self.order.own_seed,
            device=self.device,
            on_progress=hear,
        )
