"""Where versions are made and measured; what was finished before is taken from the work folder.

Which versions are wanted is `chain`'s to say, how one is made `make_version`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from diffserver.experiment.cache import PAYLOAD, WEIGHTS, Kept, Record, Version
from diffserver.experiment.code_fingerprint import fingerprint
from diffserver.experiment.make_version import Making, OnProgress, Order
from diffserver.experiment.plan import Domain, Plan
from diffserver.experiment.statistics import BySet, Errors, errors_of_each
from diffserver.tasks import Session, Task
from diffserver.training.loop import Lesson


@dataclass
class Bench:
    """A task, its data, and the folder that keeps what is finished."""

    task: Task
    plan: Plan
    kept: Kept
    on_progress: OnProgress
    _graph: bytes = field(default=b"", init=False)

    def version(self, order: Order) -> Version:
        """Return the version that is wanted; raises what making it raises."""
        about, code = self._about(order), order.kind.code(self.task)
        return self.kept.version(about, code) or self._make(order, about, code)

    def errors(self, version: Version, domains: Sequence[Domain]) -> BySet:
        """Return the version's errors on the domains' test sets, by the device's own code."""
        found: dict[str, Errors] = {}
        session: Session | None = None
        for domain in domains:
            about = {"digest": version.digest, "data": domain.fingerprint, "code": fingerprint((), self.task)}
            known = self.kept.evaluation(about)
            if known is None:
                session = session or self.task.session(self._device_graph(), version.snapshot)
                known = self._measure(session, domain)
                self.kept.keep_evaluation(about, known)
            found[domain.name] = Errors(np.array(known["errors"], np.int64), np.array(known["total"], np.int64))
        return found

    def _about(self, order: Order) -> dict[str, Any]:
        """All that decides a version, but for the code."""
        return {
            "task": self.task.name,
            "data": [domain.fingerprint for domain in self.plan.domains[: order.number + 1]],
            "seed": order.seed,
            "number": order.number,
            "method": order.kind.describe(),
            "budget": order.budget,
            "parent": order.parent and order.parent.digest,
            "full": order.full and order.full.digest,
        }

    def _make(self, order: Order, about: dict[str, Any], code: str) -> Version:
        self.on_progress(0.0, "reads data")
        *earlier, new = (self.task.examples(domain.path, "train") for domain in self.plan.domains[: order.number + 1])
        making = Making(order, self.task, Lesson(new, earlier), self.plan.device, self.on_progress)
        with self.kept.draft(about) as draft:
            began = monotonic()
            payload, digest = making.write(draft / WEIGHTS)
            seconds = monotonic() - began
            (draft / PAYLOAD).write_bytes(payload)
            return self.kept.keep(draft, about, Record(digest, len(payload), seconds, code))

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
