"""One version in the making, as the pipeline makes it: train, encode, decode and apply with the device's own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import enter_grid, write_snapshot
from diffserver.experiment.cache import Version
from diffserver.experiment.method_kinds import Kind
from diffserver.methods.method import Method, Weights
from diffserver.methods.registry import load_method
from diffserver.methods.setting import Packed, Setting
from diffserver.tasks import Task
from diffserver.training import clip_to_grid
from diffserver.training.loop import Lesson, train

OnProgress = Callable[[float, str], None]
"""Hears how far the work at hand is (0 to 1), and what it is."""


@dataclass(frozen=True)
class Order:
    """A version that is wanted: a base if it has no parent."""

    kind: Kind
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
        method = load_method("full", initial, enter_grid(initial)[0], 1.0, self.order.own_seed)
        table, arrays = enter_grid(self._trained(method))
        return write_snapshot(out, table, (arrays[spec.name] for spec in table))

    def _update(self, parent: Version, out: Path) -> tuple[bytes, str]:
        before, kind = parent.snapshot, self.order.kind
        method = kind.make(self._setting(parent), kind.schedule)
        trained = self._trained(method) if kind.recipe else {}
        diff = method.diff()
        if diff is not None:
            payload = encode(diff, before.table, parent.digest)
            return payload, apply(before, [open_payload(payload, before.table, parent.digest)], out)
        payload, weights = b"", trained
        if hasattr(method, "rebuilt"):
            packed = cast(Packed, method)
            payload = packed.payload()
            weights = packed.rebuilt(payload)
        return payload, write_snapshot(out, before.table, clip_to_grid.enter(before.table, weights))

    def _setting(self, parent: Version) -> Setting:
        before, full = parent.snapshot, self.order.full
        network = self.task.network(self.order.own_seed)
        teacher = None if full is None else full.snapshot.read_all()
        return Setting(before.read_all(), before.table, self.order.budget, self.order.own_seed, network, teacher)

    def _trained(self, method: Method) -> Weights:
        def hear(done: float, message: str) -> bool:
            self.on_progress(done, message)
            return True

        assert self.order.kind.recipe is not None
        return train(
            self.task,
            self.task.network(self.order.own_seed),
            method,
            self.lesson,
            self.order.kind.recipe,
            seed=self.order.own_seed,
            device=self.device,
            on_progress=hear,
        )
