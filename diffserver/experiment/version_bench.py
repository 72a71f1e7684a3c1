"""Make and measure versions; finished ones are taken from the cache.

The choice of versions is left to `chain`, making one to `training.make_version`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from time import monotonic
from typing import Any

import numpy as np

from diffserver.experiment.cache import PAYLOAD, WEIGHTS, Cache, Record, Version
from diffserver.experiment.code_fingerprint import fingerprint
from diffserver.experiment.plan import Domain, Plan
from diffserver.experiment.statistics import BySet, Errors, errors_of_each
from diffserver.methods import parametrised
from diffserver.methods.definition import Definition
from diffserver.tasks import Session, Task
from diffserver.training import loop
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version

OnProgress = Callable[[float, str], None]
"""A callback with the progress of the current work (0 to 1) and its name."""


@dataclass(frozen=True)
class Order:
    """An order for a version: a base if it has no parent."""

    definition: Definition
    seed: int
    number: int = 0
    """The version's number in its chain."""
    parent: Version | None = None
    budget: float = 1.0
    full: Version | None = None
    """The fully retrained model that the method compresses."""

    @property
    def own_seed(self) -> int:
        """The version's own seed, as in the pipeline: hashed diffs of a chain share no buckets."""
        return self.seed + self.number


@dataclass
class Bench:
    """A task, its plan, and the cache of finished parts."""

    task: Task
    plan: Plan
    cache: Cache
    on_progress: OnProgress
    _graph: bytes = field(default=b"", init=False)

    def version(self, order: Order) -> Version:
        """Return the ordered version, made if the cache has none; raises as `make_version` does."""
        key, code = self._key(order), self._code(order.definition)
        return self.cache.version(key, code) or self._make(order, key, code)

    def errors(self, version: Version, domains: Sequence[Domain]) -> BySet:
        """Return the version's errors on the domains' test sets, by the device's own code."""
        by_domain: dict[str, Errors] = {}
        session: Session | None = None
        for domain in domains:
            key = {"digest": version.digest, "data": domain.fingerprint, "code": fingerprint((), self.task)}
            counts = self.cache.evaluation(key)
            if counts is None:
                session = session or self.task.session(self._device_graph(), version.snapshot)
                counts = self._measure(session, domain)
                self.cache.keep_evaluation(key, counts)
            by_domain[domain.name] = Errors(np.array(counts["errors"], np.int64), np.array(counts["total"], np.int64))
        return by_domain

    def _key(self, order: Order) -> dict[str, Any]:
        """Return the key of a version: all that decides it but code, as plain JSON values."""
        definition = order.definition
        return {
            "task": self.task.name,
            "data": [domain.fingerprint for domain in self.plan.domains[: order.number + 1]],
            "seed": order.seed,
            "number": order.number,
            "method": {
                "modules": definition.modules,
                "recipe": definition.recipe and asdict(definition.recipe),
                "schedule": definition.schedule and asdict(definition.schedule),
                "teacher": definition.teacher,
            },
            "budget": order.budget,
            "parent": order.parent and order.parent.digest,
            "full": order.full and order.full.digest,
        }

    def _code(self, definition: Definition) -> str:
        return fingerprint((loop, parametrised, *map(import_module, definition.modules)), self.task)

    def _make(self, order: Order, key: dict[str, Any], code: str) -> Version:
        self.on_progress(0.0, "reads data")
        *earlier, new = (self.task.examples(domain.path, "train") for domain in self.plan.domains[: order.number + 1])
        with self.cache.draft(key) as draft:
            began = monotonic()
            version = make_version(
                self.task,
                order.definition,
                Lesson(new, earlier),
                draft / WEIGHTS,
                seed=order.own_seed,
                parent=order.parent,
                budget=order.budget,
                full=order.full,
                device=self.plan.device,
                on_progress=self._pass_on,
            )
            seconds, payload = monotonic() - began, version.payload or b""
            (draft / PAYLOAD).write_bytes(payload)
            return self.cache.keep(draft, key, Record(version.digest, len(payload), seconds, code))

    def _pass_on(self, progress: float, message: str) -> bool:
        self.on_progress(progress, message)
        return True

    def _measure(self, session: Session, domain: Domain) -> dict[str, Any]:
        examples = self.task.examples(domain.path, "test")

        def on_example(count: int) -> None:
            self.on_progress(count / len(examples), f"evaluates on {domain.name}")

        errors = errors_of_each(self.task, session, examples, on_example)
        return {"errors": errors.errors.tolist(), "total": errors.total.tolist()}

    def _device_graph(self) -> bytes:
        """Return the graph, which all versions share: a seed decides weights alone."""
        if not self._graph:
            self.on_progress(0.0, "exports the graph")
            self._graph = self.task.graph(self.task.network(0))
        return self._graph
