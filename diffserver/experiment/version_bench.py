"""The making and measuring of versions; what was finished before is taken from the work folder.

Which versions are wanted is `chain`'s to say, how one is made `training.make_version`'s.
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
from diffserver.training.loop import Lesson
from diffserver.training.make_version import make_version

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


@dataclass
class Bench:
    """A task, its data, and the folder that keeps what is finished."""

    task: Task
    plan: Plan
    kept: Cache
    on_progress: OnProgress
    _graph: bytes = field(default=b"", init=False)

    def version(self, order: Order) -> Version:
        """Return the version that is wanted; raises what making it raises."""
        about, code = self._about(order), self._code(order.definition)
        return self.kept.version(about, code) or self._make(order, about, code)

    def errors(self, version: Version, domains: Sequence[Domain]) -> BySet:
        """Return the version's errors on the domains' test sets, by the device's own code."""
        by_domain: dict[str, Errors] = {}
        session: Session | None = None
        for domain in domains:
            about = {"digest": version.digest, "data": domain.fingerprint, "code": fingerprint((), self.task)}
            known = self.kept.evaluation(about)
            if known is None:
                session = session or self.task.session(self._device_graph(), version.snapshot)
                known = self._measure(session, domain)
                self.kept.keep_evaluation(about, known)
            by_domain[domain.name] = Errors(np.array(known["errors"], np.int64), np.array(known["total"], np.int64))
        return by_domain

    def _about(self, order: Order) -> dict[str, Any]:
        """Return all that decides a version, except the code, as plain JSON values."""
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

    def _make(self, order: Order, about: dict[str, Any], code: str) -> Version:
        self.on_progress(0.0, "reads data")
        *earlier, new = (self.task.examples(domain.path, "train") for domain in self.plan.domains[: order.number + 1])
        with self.kept.draft(about) as draft:
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
                on_progress=self._hear,
            )
            seconds, payload = monotonic() - began, version.payload or b""
            (draft / PAYLOAD).write_bytes(payload)
            return self.kept.keep(draft, about, Record(version.digest, len(payload), seconds, code))

    def _hear(self, done: float, message: str) -> bool:
        self.on_progress(done, message)
        return True

    def _measure(self, session: Session, domain: Domain) -> dict[str, Any]:
        examples = self.task.examples(domain.path, "test")

        def on_example(done: int) -> None:
            self.on_progress(done / len(examples), f"evaluates on {domain.name}")

        errors = errors_of_each(self.task, session, examples, on_example)
        return {"errors": errors.errors.tolist(), "total": errors.total.tolist()}

    def _device_graph(self) -> bytes:
        """The graph, which all versions share: a seed decides weights alone."""
        if not self._graph:
            self.on_progress(0.0, "exports the graph")
            self._graph = self.task.graph(self.task.network(0))
        return self._graph
