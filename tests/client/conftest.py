"""A device and its server, both real, on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from diffclient.measure.probation import Score
from diffclient.network.device_api import Service
from diffclient.network.fetch import Fetcher
from diffclient.network.messages import Enrolment
from diffclient.network.report import Stage
from diffclient.network.transport import Patience, Transport
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.client.scripted_server import DEVICE_TOKEN, ScriptedServer

IMPATIENT = Patience(attempts=2, first_wait=0.01, longest_wait=0.05, connect_timeout=2, read_timeout=0.5)


@dataclass
class Device:
    """A store, and what is needed to update it from one server."""

    store: Store
    server: ScriptedServer
    score: Score
    metered: bool = False

    def updater(self, on_stage: Callable[[Stage], None] = lambda _stage: None) -> Updater:
        """As a fresh process would make it."""
        transport, enrolment, policy = Transport(IMPATIENT), self.store.enrolment(), self.store.policy()
        bases = [enrolment.server, *policy.mirrors]
        return Updater(
            self.store,
            Service(transport, enrolment),
            Fetcher(transport, bases, self.store.downloads),
            lambda: Trust(self.store.trust, [base + PATH for base in bases], transport),
            policy,
            lambda: self.metered,
            self.score,
            on_stage,
        )

    def update(self, *, force: bool = False) -> Outcome:
        """Poll once."""
        return self.updater().update(force=force)

    def digest(self) -> str | None:
        """The digest of the version in use, after every byte of it was hashed again."""
        current = self.store.state().current
        if current:
            self.store.verify(current)
        return current.digest if current else None


@pytest.fixture(scope="session")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """Versions 0 to 3 of a classifier; not to be changed."""
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(3)


@pytest.fixture
def server(lineage: Lineage) -> Iterator[ScriptedServer]:
    """A server of that lineage, with version 0 as the target."""
    running = ScriptedServer(lineage)
    yield running
    running.close()


def enrolled(store: Store, server: ScriptedServer, score: Score) -> Device:
    """A device that knows its server."""
    with store.locked():
        plant_root(store.trust, server.repository.first_root)
        store.enroll(Enrolment(server.url, "device-1", DEVICE_TOKEN, MODEL, "stable", "kitchen"))
    return Device(store, server, score)


@pytest.fixture
def device(tmp_path: Path, server: ScriptedServer) -> Device:
    """A device that is enrolled and holds nothing yet."""
    return enrolled(Store(tmp_path / "store"), server, CLASSIFIER.score)
