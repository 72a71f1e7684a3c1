"""A real device on a real server over a socket: what the one signs, the other takes. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from diffclient.errors import Backwards, BadSignature, UnknownTarget, UpdateFailed
from diffclient.network.device_api import Service as Calls
from diffclient.network.device_api import enroll
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Transport
from diffclient.store.policy import Policy
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater
from diffserver.catalog.candidate import NewCandidate
from diffserver.settings import ROOT_FILE
from diffserver.storage.database import writing
from diffserver.storage.tables import Channel, Payload
from diffserver.trust import releases
from tests.client.lineage import CLASSIFIER, MODEL, Lineage, felt_diff
from tests.client.repository import Repository
from tests.server import factories
from tests.server.conftest import Service


@dataclass
class Site:
    """A served service that publishes a lineage, and devices of it."""

    service: Service
    url: str
    lineage: Lineage
    folder: Path
    metered: bool = False
    policy: Policy = field(default_factory=Policy)

    def publish(self, *numbers: int) -> None:
        """Publish versions of the lineage, one after the other."""
        for number in numbers:
            self.service.publish(self.candidate(number))

    def candidate(self, number: int) -> NewCandidate:
        """A version of the lineage as training would have left it."""
        return factories.of_lineage(self.lineage, number, self.service.objects)

    def device(self, name: str = "kitchen") -> Store:
        """A device that knows the server and its root."""
        store = Store(self.folder / name)
        token = self.service.operator.headers["Authorization"].removeprefix("Bearer ")
        with store.locked():
            enrolment = enroll(Transport(), self.url, token, model=MODEL, name=name)
            plant_root(store.trust, self.service.public.get("/v1/tuf/1.root.json").content)
            store.enroll(enrolment)
        return store

    def update(self, store: Store) -> Outcome:
        """Poll once."""
        transport, enrolment = Transport(), store.enrolment()
        return Updater(
            store,
            Calls(transport, enrolment),
            Fetcher(transport, [self.url], store.downloads),
            lambda: Trust(store.trust, [self.url + PATH], transport),
            self.policy,
            lambda: self.metered,
            CLASSIFIER.score,
        ).update()

    def move_channel(self, number: int) -> None:
        """Move the channel, with a signed permission where that leads back."""
        with writing(self.service.engine) as session:
            releases.move_channel(session, self.service.keyring, MODEL, number)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(4)


@pytest.fixture
def site(service: Service, url: str, lineage: Lineage, tmp_path: Path) -> Site:
    return Site(service, url, lineage, tmp_path / "devices")


def test_from_the_first_version_to_the_last(site: Site) -> None:
    site.publish(0)
    store = site.device()
    assert site.update(store).action == "installed"
    for number in (1, 2):
        site.publish(number)
        outcome = site.update(store)
        assert (outcome.action, outcome.version, outcome.digest) == ("installed", number, site.lineage.digest(number))
        assert outcome.payload_bytes == site.lineage.diffs[number - 1].payload.length
    outcome = site.update(store)
    assert (outcome.action, outcome.metadata_bytes) == ("none", 0), "what it has stands: one request"
    current = store.state().current
    assert current is not None
    store.verify(current)


def test_what_is_said_to_be_fetched_is_what_a_device_fetched(site: Site) -> None:
    site.publish(0)
    store = site.device()
    outcomes = [site.update(store)]
    for number in (1, 2, 3):
        site.publish(number)
        outcomes.append(site.update(store))
    said = [item["to_fetch"] for item in site.service.operator.get(f"/v1/models/{MODEL}/versions").json()["items"]]
    assert said == [
        {
            "payload": outcome.payload_bytes,
            "graph": outcome.graph_bytes,
            "probes": outcome.probe_bytes,
            "metadata": outcome.metadata_bytes,
            "total": outcome.fetched_bytes,
        }
        for outcome in outcomes
    ]
    assert [answer["probes"] > 0 for answer in said] == [True, False, False, False]
    assert all(answer["metadata"] > 1000 for answer in said)
    before = [item["to_fetch"] for item in site.service.operator.get("/v1/candidates").json()["items"]]
    assert before == [answer | {"metadata": None, "total": answer["total"] - answer["metadata"]} for answer in said]


@pytest.mark.parametrize(
    ("objects_url", "redirects"), [("file", False), ("s3", False), ("s3", True)], indirect=["objects_url"]
)
def test_wherever_objects_lie_a_device_gets_and_counts_the_same_bytes(site: Site, redirects: bool) -> None:
    site.service.app.state.settings = replace(site.service.settings, redirects=redirects)
    site.publish(0)
    snapshot = site.lineage.snapshots[0].payload.length
    store = site.device()
    outcome = site.update(store)
    assert (outcome.action, outcome.payload_bytes) == ("installed", snapshot)
    site.publish(1)
    later = site.update(store)
    assert (later.digest, later.payload_bytes) == (site.lineage.digest(1), site.lineage.diffs[0].payload.length)
    sent = sum(outcome.graph_bytes + outcome.probe_bytes + outcome.payload_bytes for outcome in (outcome, later))
    assert sent_objects(site.service) == (0 if redirects else sent - later.payload_bytes)


def sent_objects(service: Service) -> int:
    """The bytes of objects that the server itself has sent."""
    lines = service.operator.get("/metrics").text.splitlines()
    [found] = [line for line in lines if line.startswith('diffserver_sent_bytes_total{kind="object"}')] or ["0"]
    return int(float(found.split()[-1]))


def test_a_device_that_slept_is_led_through_history(site: Site) -> None:
    site.publish(0)
    store = site.device()
    site.update(store)
    site.publish(1, 2, 3, 4)
    assert site.update(store).digest == site.lineage.digest(4)


def test_a_late_device_gets_a_snapshot(site: Site) -> None:
    site.publish(0, 1, 2)
    store = site.device("late")
    assert site.update(store).digest == site.lineage.digest(2)


def test_a_metered_device_is_told_and_not_sent(site: Site) -> None:
    site.publish(0)
    store = site.device()
    site.metered = True
    assert site.update(store).action == "withheld"
    site.policy = Policy("always")
    assert site.update(store).action == "installed"


def test_a_damaged_diff_is_gone_round(site: Site) -> None:
    site.publish(0)
    store = site.device()
    site.update(store)
    site.publish(1)
    damaged = site.lineage.diffs[0].payload.sha256
    with writing(site.service.engine) as session:
        row = session.scalars(select(Payload).where(Payload.sha256 == damaged)).one()
        row.data = row.data[:-1] + bytes([row.data[-1] ^ 1])
    outcome = site.update(store)
    assert (outcome.action, outcome.digest) == ("installed", site.lineage.digest(1))
    assert outcome.detour is not None
    assert f"{damaged} is damaged on the server" in outcome.detour


def test_the_way_back_is_the_one_that_was_signed(site: Site) -> None:
    site.publish(0, 1)
    store = site.device()
    site.update(store)
    site.publish(2, 3)
    site.update(store)
    site.move_channel(0)
    assert site.update(store).digest == site.lineage.digest(0)


def test_after_a_recall_the_next_version_comes_by_one_diff_and_nobody_meets_the_bad_one(
    site: Site, tmp_path: Path
) -> None:
    site.lineage = Lineage(tmp_path / "recalled", CLASSIFIER).grow(2)
    good = site.lineage.extend(felt_diff(site.lineage.versions[1].table, seed=77), start=1)
    site.publish(0, 1)
    store, late = site.device(), site.device("late")
    site.update(store)
    site.update(late)
    site.publish(2)
    site.update(store)
    site.move_channel(1)
    assert site.update(store).digest == site.lineage.digest(1)
    site.publish(3)
    for device in (store, late):
        outcome = site.update(device)
        assert (outcome.digest, outcome.payload_bytes) == (site.lineage.digest(3), good.payload.length)


def test_a_metered_device_returns_to_the_slot_that_it_kept_for_no_bytes(site: Site) -> None:
    site.publish(0, 1)
    store = site.device()
    site.update(store)
    site.publish(2)
    site.update(store)
    site.move_channel(1)
    site.metered, site.policy = True, Policy("never")
    outcome = site.update(store)
    assert (outcome.action, outcome.digest, outcome.payload_bytes) == ("installed", site.lineage.digest(1), 0)


def test_a_recall_that_is_undone_leads_forward_again(site: Site) -> None:
    site.publish(0, 1, 2)
    store = site.device()
    site.update(store)
    site.move_channel(1)
    assert site.update(store).digest == site.lineage.digest(1)
    site.move_channel(2)
    assert site.update(store).digest == site.lineage.digest(2)


def test_a_channel_that_was_moved_without_a_signature_moves_no_device(site: Site) -> None:
    """As a thief of the database would: the rows say so, and no metadata does."""
    site.publish(0, 1, 2, 3)
    store = site.device()
    site.update(store)
    with writing(site.service.engine) as session:
        session.execute(update(Channel).values(digest=site.lineage.digest(1)))
    with pytest.raises(UpdateFailed) as failed:
        site.update(store)
    assert isinstance(failed.value.cause, Backwards | UnknownTarget), failed.value
    assert store.state().digest == site.lineage.digest(3)


def test_another_servers_root_trusts_nothing_here(site: Site, tmp_path: Path) -> None:
    site.publish(0)
    store = site.device()
    plant_root(store.trust, Repository(MODEL).first_root)
    with pytest.raises(UpdateFailed) as failed:
        site.update(store)
    assert isinstance(failed.value.cause, BadSignature)


def test_the_root_that_is_served_first_is_the_one_to_enrol_with(site: Site) -> None:
    """The file beside the database and what the server says are the same bytes."""
    said = site.service.public.get("/v1/tuf/1.root.json").content
    assert said == (site.service.settings.home / ROOT_FILE).read_bytes()
