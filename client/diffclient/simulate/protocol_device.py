"""A device that speaks the protocol and holds no model: it polls, pretends to install, and reports.

It fetches no bytes and verifies nothing, so that thousands need neither threads nor files.
"""

from __future__ import annotations

import time
from dataclasses import replace

from diffclient.errors import AnswerError, NetworkError
from diffclient.measure.error_count import Errors
from diffclient.network.device_api import Service
from diffclient.network.holding import Holding
from diffclient.network.messages import Answer, Enrolment
from diffclient.network.report import Cause, Report, ReportStage
from diffclient.network.transport import Transport
from diffclient.simulate.plan import Plan
from diffclient.simulate.polled import FAULTS, Polled
from diffclient.simulate.traits import Traits, fault
from diffclient.update.cause import cause_of


class ProtocolDevice:
    """A device with an identity of its own, and the versions that it says it has."""

    def __init__(self, plan: Plan, traits: Traits, enrolment: Enrolment) -> None:
        self.traits = traits
        self.version: int | None = None
        """The number of the version that it says it runs."""
        self._plan, self._enrolment = plan, enrolment
        self._holding = Holding(None)
        self._outbox: tuple[Report, ...] = ()
        self._unfit: set[str] = set()

    def poll(self, transport: Transport, day: float) -> Polled:
        """Poll once, as an updater does."""
        began = time.monotonic()
        service, metered = Service(transport, self._enrolment), self.traits.metered and self.version is not None
        try:
            answer = service.poll(self._holding, full_fallback=not metered)
        except (NetworkError, AnswerError) as error:
            return Polled("silent", cause_of(error, "poll"))
        polled = self._follow(answer, service, day)
        self._outbox = service.deliver(self._outbox)
        return replace(polled, seconds=time.monotonic() - began)

    def count(self, errors: Errors) -> None:
        """Report errors in the field with the next poll."""
        figures = {"errors": errors.errors, "total": errors.total, "error_rate_ppm": errors.error_rate_ppm}
        self._report("field", None, self._holding.digest, **figures)

    def _follow(self, answer: Answer, service: Service, day: float) -> Polled:
        """Do what the answer says, or fail as the plan has it; a return to the version kept never fails."""
        held, target = self._holding.digest, answer.digest
        if target is None or target == held or not (answer.steps or target == self._holding.previous):
            return Polled("withheld" if answer.withheld else "none")
        if target in self._unfit:
            return Polled("unfit")
        if target != self._holding.previous and (cause := fault(self._plan, self.traits.number, answer.version, day)):
            return self._fail(target, cause)
        self._holding, self.version = Holding(target, held), answer.version
        service.tell(self._holding)
        self._report("installed", held, target)
        return Polled("installed")

    def _fail(self, target: str, cause: Cause) -> Polled:
        stage, error = FAULTS[cause]
        end: ReportStage = "postponed" if cause in ("network", "server") else "failed"
        if stage == "probation":
            self._unfit.add(target)
        self._report(end, self._holding.digest, target, failed_stage=stage, reason=str(error()), cause=cause)
        return Polled(end, cause)

    def _report(self, stage: ReportStage, held: str | None, target: str | None, **more: object) -> None:
        report = Report.new(stage, held, target, **more)
        device_time = max(0, (report.device_time or 0) + self.traits.clock_offset)
        self._outbox = (*self._outbox, replace(report, device_time=device_time))
