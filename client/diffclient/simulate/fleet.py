"""A fleet of simulated devices at one server, stepped by days: it counts errors in the field, polls, is looked at.

Threads are few and share the devices; each keeps its connection to the server. Printing is left to `run`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from diffclient.measure.error_count import Errors
from diffclient.measure.probation import Score, score_speech
from diffclient.network.device_api import enroll
from diffclient.network.transport import Transport
from diffclient.simulate import traits
from diffclient.simulate.plan import Plan
from diffclient.simulate.polled import Polled
from diffclient.simulate.protocol_device import ProtocolDevice
from diffclient.simulate.real_device import RealDevice
from diffclient.simulate.traits import Traits

T = TypeVar("T")
R = TypeVar("R")

THREADS = 8


class Device(Protocol):
    """A device of a fleet, whatever there is of it."""

    traits: Traits

    @property
    def version(self) -> int | None:
        """The number of the version that it runs; None before the first."""

    def poll(self, transport: Transport, day: float) -> Polled:
        """Poll once."""

    def count(self, errors: Errors) -> None:
        """Count errors in the field; they are told with the next poll."""


class Fleet:
    """Devices of one model at one server; those that are real have their stores in `folder`.

    `tell` hears what is being done, of how many devices it is done, and of how many it will be.
    """

    def __init__(
        self,
        plan: Plan,
        server: str,
        model: str,
        folder: Path,
        score: Score = score_speech,
        channel: str = "stable",
        threads: int = THREADS,
        tell: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
    ) -> None:
        self.plan = plan
        self.devices: Sequence[Device] = ()
        """By number, once enrolled."""
        self._server, self._model, self._channel = server, model, channel
        self._folder, self._score, self._threads, self._tell = folder, score, threads, tell
        self._own = threading.local()

    @property
    def real(self) -> Sequence[RealDevice]:
        """The devices that have a store."""
        return [device for device in self.devices if isinstance(device, RealDevice)]

    def enroll(self, token: str, root: bytes) -> None:
        """Enrol all devices with a token; real ones trust that root. Raises like `device_api.enroll`."""
        numbers = range(self.plan.devices)
        self.devices = list(self._each("enrol", numbers, lambda number: self._made(number, token, root)))

    def poll_all(self, day: float, among: Iterable[Device] | None = None) -> list[Polled]:
        """Let devices poll, all or some, unless they are offline on that day; return how that ended, in their order."""
        chosen = self.devices if among is None else list(among)

        def poll(device: Device) -> Polled:
            offline = traits.is_offline(self.plan, device.traits.number, day)
            return Polled("offline") if offline else device.poll(self._transport(), day)

        return list(self._each("poll", chosen, poll))

    def report_field(self, day: float) -> Errors:
        """Let devices count a day's errors in the field, told with their next poll; return the sum."""
        counting = [device for device in self.devices if device.traits.counts]
        return sum(self._each("count", counting, lambda device: self._count(device, day)), Errors(0, 0))

    def versions(self) -> Counter[int | None]:
        """Return how many devices run each version."""
        return Counter(device.version for device in self.devices)

    def _made(self, number: int, token: str, root: bytes) -> Device:
        of_it, transport = traits.traits(self.plan, number), self._transport()
        enrolment = transport.persist(
            lambda: enroll(
                transport,
                self._server,
                token,
                model=self._model,
                name=of_it.name,
                channel=self._channel,
                attributes=of_it.attributes,
            )
        )
        if number >= self.plan.real:
            return ProtocolDevice(self.plan, of_it, enrolment)
        device = RealDevice(self.plan, of_it, self._folder, self._score)
        device.enroll(enrolment, root)
        return device

    def _count(self, device: Device, day: float) -> Errors:
        version = device.version
        if version is None:
            return Errors(0, 0)
        errors = traits.counted(self.plan, device.traits, version, day)
        device.count(errors)
        return errors

    def _each(self, what: str, items: Sequence[T], act: Callable[[T], R]) -> Iterator[R]:
        """Yield the result of an act for each item, in order; threads share the work."""
        pool = ThreadPoolExecutor(self._threads)
        try:
            for done, result in enumerate(pool.map(act, items), 1):
                self._tell(what, done, len(items))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)

    def _transport(self) -> Transport:
        """Return this thread's connection."""
        if not hasattr(self._own, "transport"):
            self._own.transport = Transport()
        transport: Transport = self._own.transport
        return transport
