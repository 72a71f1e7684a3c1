"""Devices of a benchmark: the real updater with a store each, polling as `diffclient run` does, a thread each."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffclient.errors import DiffClientError, Stopped
from diffclient.measure.probation import load_score
from diffclient.network.device_api import Service, enroll
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Transport
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update import poll_loop
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater
from diffserver.settings import ROOT_FILE, TOKEN_FILE


class Fleet:
    """Devices of one model at one server, and when each of them polled with success."""

    def __init__(self, folder: Path, url: str, home: Path, model: str, score: Path) -> None:
        self._folder, self._url, self._home, self._model = folder, url, home, model
        self._score = load_score(f"{score}:score")
        self._stores: list[Store] = []
        self._moments: list[list[float]] = []
        self._stop = threading.Event()
        self._errors: list[DiffClientError] = []
        self._ended = 0.0

    def enroll(self, count: int) -> None:
        """Enrol so many devices."""
        token, root = (self._home / TOKEN_FILE).read_text().strip(), (self._home / ROOT_FILE).read_bytes()
        for number in range(count):
            store = Store(self._folder / f"device-{number}")
            with store.locked():
                enrolment = enroll(Transport(), self._url, token, model=self._model, name=f"device {number}")
                plant_root(store.trust, root)
                store.enroll(enrolment)
            self._stores.append(store)

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Let all devices poll for as long as the block lasts."""
        self._moments = [[time.monotonic()] for _ in self._stores]
        threads = [
            threading.Thread(target=self._run, args=pair) for pair in zip(self._stores, self._moments, strict=True)
        ]
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
        current = [store.state().current for store in self._stores]
        return sum(version is not None and version.manifest.to_version == number for version in current)

    def _run(self, store: Store, moments: list[float]) -> None:
        transport, enrolment = Transport(pause=self._pause), store.enrolment()
        updater = Updater(
            store,
            Service(transport, enrolment),
            Fetcher(transport, [self._url], store.downloads),
            lambda: Trust(store.trust, [self._url + PATH], transport),
            score=self._score,
        )

        def tell(result: Outcome | DiffClientError, _seconds: float) -> None:
            if isinstance(result, Outcome):
                moments.append(time.monotonic())
            else:
                self._errors.append(result)

        try:
            self._pause(random.uniform(0, 10))
            poll_loop.run(updater.update, self._pause, tell)
        except Stopped:
            pass

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped("the benchmark is over")
