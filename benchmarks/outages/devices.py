"""The devices: what each was answered, installed and was told to have reported, against what was published."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.fleet_of_threads import PollingFleet
from benchmarks.outages.published import STALE_SECONDS, History
from diffclient.errors import DiffClientError, DigestMismatch, ServerUnreachable, UpdateFailed
from diffclient.measure.error_count import Errors
from diffclient.network.messages import Answer
from diffclient.network.transport import Response, Transport
from diffclient.simulate.real_device import RealDevice
from diffclient.update.outcome import Outcome

COUNTED = Errors(1, 20)
"""What each device counts in the field before each poll, so that there is something to report."""


class Witness(Transport):
    """A device's connections; notes when it asked last, what went unanswered, and reports that were acknowledged."""

    def __init__(self, pause: Callable[[float], None]) -> None:
        super().__init__(pause=pause)
        self.asked_at, self.unanswered = 0.0, 0
        self.acknowledged: list[str] = []

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        redirects: int = 0,
        seconds: float | None = None,
    ) -> Iterator[Response]:
        """Yield the response to a request, as any transport does."""
        self.asked_at = time.monotonic()
        try:
            with super().open(method, url, headers, body, redirects, seconds) as response:
                if url.endswith("/v1/device/reports") and body:
                    self.acknowledged.append(json.loads(body)["report_id"])
                yield response
        except ServerUnreachable:
            self.unanswered += 1
            raise


class WatchedFleet(PollingFleet):
    """A fleet whose devices' answers are compared with what was published."""

    def __init__(
        self, folder: Path, url: str, home: Path, score: Path, model: str, history: History, count: int
    ) -> None:
        super().__init__(folder, url, home, model, score, count)
        self._history = history
        self.faults: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self._witnesses: dict[str, Witness] = {}

    @property
    def acknowledged(self) -> dict[str, list[str]]:
        """The reports of each device, by its id, of which it was told that they are taken."""
        return {device: witness.acknowledged for device, witness in self._witnesses.items()}

    @property
    def unanswered(self) -> int:
        """How many requests went unanswered, or were to be made later; most were made again in the same poll."""
        return sum(witness.unanswered for witness in self._witnesses.values())

    @property
    def waiting_reports(self) -> int:
        """How many reports have not been delivered yet."""
        return sum(len(device.store.state().outbox) for device in self.real)

    def update_of(self, device: RealDevice) -> Callable[[], Outcome]:
        """Return what a device does again and again: it counts errors in the field, and updates."""
        witness = self._witnesses[device.store.enrolment().device_id] = Witness(self.pause)
        updater = device.updater(witness, lambda answer: self._judge(device, answer, witness.asked_at))

        def count_and_update() -> Outcome:
            device.count(COUNTED)
            return updater.update()

        return count_and_update

    def hear(self, device: RealDevice, result: Outcome | DiffClientError) -> None:
        """Note how an update ended: the only honest errors are that nothing was answered, or: not now."""
        if isinstance(result, Outcome):
            self.outcomes[result.action] += 1
            if fault := self._history.fault(result.version, result.digest, float("-inf")):
                self.faults.append(f"{device.traits.name} holds {fault}")
            return
        cause = result.cause if isinstance(result, UpdateFailed) else result
        if not isinstance(cause, ServerUnreachable):
            self.faults.append(f"{device.traits.name}: {type(cause).__name__}: {result}")

    def lagging(self) -> list[str]:
        """Return the devices that do not hold the last version, whole."""
        return [device.traits.name for device in self.real if not self._holds_last(device)]

    def _holds_last(self, device: RealDevice) -> bool:
        current = device.store.state().current
        if current is None or current.digest != self._history.acknowledged[-1].digest:
            return False
        with suppress(DigestMismatch):
            device.store.verify(current)
            return True
        return False

    def _judge(self, device: RealDevice, answer: Answer, asked: float) -> None:
        fault = self._history.fault(answer.version, answer.digest, asked, STALE_SECONDS)
        if fault:
            self.faults.append(f"{device.traits.name} was told to hold {fault}")
