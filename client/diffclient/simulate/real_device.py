"""A device of a fleet with a store of its own, driven by the real updater."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from diffclient.errors import DiffClientError, UpdateFailed
from diffclient.measure.error_count import Errors
from diffclient.measure.probation import Score
from diffclient.network.device_api import Service
from diffclient.network.fetch import Fetcher
from diffclient.network.holding import Holding
from diffclient.network.messages import Answer, Enrolment
from diffclient.network.report import Stage
from diffclient.network.transport import Transport
from diffclient.simulate.plan import Plan
from diffclient.simulate.polled import FAULTS, Polled
from diffclient.simulate.traits import Traits, fault
from diffclient.store import field_counts
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update.cause import cause_of
from diffclient.update.updater import Updater


class RealDevice:
    """A device that fetches, verifies, applies, measures and switches as any does; its store is below `folder`."""

    def __init__(self, plan: Plan, traits: Traits, folder: Path, score: Score) -> None:
        self.traits = traits
        self.store = Store(folder / f"device-{traits.number}")
        self._plan, self._score = plan, score

    def enroll(self, enrolment: Enrolment, root: bytes) -> None:
        """Make the store one of an enrolled device."""
        with self.store.locked():
            plant_root(self.store.trust, root)
            self.store.enroll(enrolment)

    @property
    def version(self) -> int | None:
        """The number of the version in use."""
        current = self.store.state().current
        return current.manifest.to_version if current else None

    def updater(
        self,
        transport: Transport,
        on_answer: Callable[[Answer], None] = lambda _answer: None,
        on_stage: Callable[[Stage], None] = lambda _stage: None,
    ) -> Updater:
        """Return what updates it; `on_answer` hears the answers to polls."""
        enrolment = self.store.enrolment()
        return Updater(
            self.store,
            _Heard(transport, enrolment, on_answer),
            Fetcher(transport, [enrolment.server], self.store.downloads),
            lambda: Trust(self.store.trust, [enrolment.server + PATH], transport),
            self.store.policy(),
            lambda: self.traits.metered and self.version is not None,
            self._score,
            on_stage,
            field_spacing=0,
        )

    def poll(self, transport: Transport, day: float) -> Polled:
        """Poll once, and fail as the plan has it; a return to the version kept never fails."""
        answers: list[Answer] = []

        def fail_if_planned(stage: Stage) -> None:
            planned = answers and answers[-1].steps and answers[-1].digest != kept
            cause = fault(self._plan, self.traits.number, answers[-1].version, day) if planned else None
            if cause and FAULTS[cause][0] == stage:
                raise FAULTS[cause][1]()

        began, previous = time.monotonic(), self.store.state().previous
        kept = previous and previous.digest
        polled = _ended(self.updater(transport, answers.append, fail_if_planned))
        return replace(polled, seconds=time.monotonic() - began)

    def count(self, errors: Errors) -> None:
        """Count errors in the field, as its application would."""
        if digest := self.store.state().digest:
            field_counts.record(self.store.root, digest, errors.errors, errors.total)


class _Heard(Service):
    """A service whose answers to polls someone else hears as well."""

    def __init__(self, transport: Transport, enrolment: Enrolment, on_answer: Callable[[Answer], None]) -> None:
        super().__init__(transport, enrolment)
        self._on_answer = on_answer

    def poll(self, holding: Holding, *, full_fallback: bool = True, without: Sequence[str] = ()) -> Answer:
        answer = super().poll(holding, full_fallback=full_fallback, without=without)
        self._on_answer(answer)
        return answer


def _ended(updater: Updater) -> Polled:
    """Update, and return how that ended; of an error, what is at fault."""
    try:
        outcome = updater.update()
        return Polled(outcome.action, None, outcome.downloaded_bytes)
    except UpdateFailed as error:
        cause = cause_of(error.cause, error.stage)
        if error.stage == "poll":
            return Polled("silent", cause)
        return Polled("postponed" if cause in ("network", "server") else "failed", cause)
    except DiffClientError as error:
        return Polled("failed", cause_of(error, "poll"))
