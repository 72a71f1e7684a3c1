"""Devices of a benchmark: those of a simulated fleet, polling as `diffclient run` does, a thread each."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from diffclient.errors import DiffClientError, Stopped
from diffclient.measure.probation import load_score
from diffclient.network.transport import Transport
from diffclient.simulate.fleet import Fleet
from diffclient.simulate.plan import Plan
from diffclient.simulate.real_device import RealDevice
from diffclient.update import poll_loop
from diffclient.update.outcome import Outcome
from diffserver.settings import ROOT_FILE, TOKEN_FILE


class PollingFleet:
    """Real devices of one model at one server, and when each of them polled with success."""

    def __init__(self, folder: Path, url: str, home: Path, model: str, score: Path, devices: int) -> None:
        self._home = home
        self._fleet = Fleet(Plan(devices, real=devices), url, model, folder, load_score(f"{score}:score"))
        self._moments: list[list[float]] = []
        self._stop = threading.Event()
        self._errors: list[DiffClientError] = []
        self._ended = 0.0

    def enroll(self) -> None:
        """Enrol them."""
        token, root = (self._home / TOKEN_FILE).read_text().strip(), (self._home / ROOT_FILE).read_bytes()
        self._fleet.enroll(token, root)

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Let all devices poll for as long as the block lasts."""
        devices = self._fleet.real
        self._moments = [[time.monotonic()] for _ in devices]
        pairs = zip(devices, self._moments, strict=True)
        threads = [threading.Thread(target=self._run, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._ended = time.monotonic()

    @property
    def polls(self) -> int:
        """How many polls succeeded."""
        return sum(len(moments) - 1 for moments in self._moments)

    @property
    def failures(self) -> int:
        """How many polls failed."""
        return len(self._errors)

    @property
    def longest_gap(self) -> float:
        """The most seconds between two polls of one device that succeeded, and before its first and after its last."""
        all_moments = [[*moments, self._ended] for moments in self._moments]
        return max(later - before for moments in all_moments for before, later in itertools.pairwise(moments))

    def at_version(self, number: int) -> int:
        """Return how many devices run that version."""
        return self._fleet.versions()[number]

    @property
    def real(self) -> Sequence[RealDevice]:
        """The devices."""
        return self._fleet.real

    def update_of(self, device: RealDevice) -> Callable[[], Outcome]:
        """Return what a device does again and again."""
        return device.updater(Transport(pause=self.pause)).update

    def hear(self, device: RealDevice, result: Outcome | DiffClientError) -> None:
        """Hear how an update ended."""

    def pause(self, seconds: float) -> None:
        """Wait some seconds; raises Stopped when the benchmark is over."""
        if self._stop.wait(seconds):
            raise Stopped("the benchmark is over")

    def _run(self, device: RealDevice, moments: list[float]) -> None:
        def tell(result: Outcome | DiffClientError, _seconds: float) -> None:
            if isinstance(result, Outcome):
                moments.append(time.monotonic())
            else:
                self._errors.append(result)
            self.hear(device, result)

        with suppress(Stopped):
            poll_loop.run(self.update_of(device), self.pause, tell, start_within=10)
