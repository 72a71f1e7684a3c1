"""A device of a home's server: the real updater, a store of its own, and the model's own scorer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx2

from diffclient.network.device_api import Service, enroll
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Patience, Transport
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater
from tests.client.lineage import CLASSIFIER, MODEL
from tests.hostile.home_server import HomeServer

ONCE = Transport(Patience(attempts=1))


@dataclass(frozen=True)
class Device:
    """A device of a model, which finds its server wherever it is."""

    store: Store
    model: str

    def update(self, operator: httpx2.Client) -> Outcome:
        """Poll once."""
        url = str(operator.base_url).rstrip("/")
        return Updater(
            self.store,
            Service(ONCE, replace(self.store.enrolment(), server=url)),
            Fetcher(ONCE, [url], self.store.downloads),
            lambda: Trust(self.store.trust, [url + PATH], ONCE),
            self.store.policy(),
            score=CLASSIFIER.score,
        ).update()

    @property
    def number(self) -> int | None:
        """The number of the version in use, which is whole."""
        current = self.store.state().current
        if current is None:
            return None
        self.store.verify(current)
        return current.manifest.to_version


def enrolled(home: HomeServer, operator: httpx2.Client, name: str, model: str = MODEL) -> Device:
    """A device beside a home that is enrolled and has what its channel says."""
    store = Store(home.folder.parent / name)
    with store.locked():
        plant_root(store.trust, (home.folder / "root.json").read_bytes())
        store.enroll(enroll(Transport(), str(operator.base_url), home.operator, model=model, name=name))
    device = Device(store, model)
    device.update(operator)
    return device
