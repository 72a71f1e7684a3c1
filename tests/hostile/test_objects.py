"""Objects that are deleted, altered or gone with their folder: noticed, told, found and mended."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from sqlalchemy import update

from diffclient.network.device_api import Service, enroll
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Patience, Transport
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater
from diffserver.storage.database import writing
from diffserver.storage.tables import Payload
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.hostile.home_server import HomeServer, client, until
from tests.server.checkpoint_files import save

Damage = Callable[[Path], object]

DAMAGE: dict[str, Damage] = {
    "altered": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "shorter": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "deleted": Path.unlink,
}

damages = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


@pytest.fixture
def home(tmp_path: Path, lineage: Lineage) -> HomeServer:
    home = HomeServer(tmp_path / "home", lineage)
    home.publish(0, 1, 2)
    return home


@pytest.fixture
def operator(home: HomeServer) -> Iterator[httpx2.Client]:
    with home.serving() as operator:
        yield operator


def snapshot(home: HomeServer, number: int) -> str:
    return home.lineage.snapshots[number].payload.sha256


def damage_payload(home: HomeServer, sha256: str) -> None:
    data = home.lineage.blobs[sha256]
    with writing(home.engine) as session:
        altered = update(Payload).where(Payload.sha256 == sha256)
        session.execute(altered.values(data=data[:-1] + bytes([data[-1] ^ 1])))


def get_twice(operator: httpx2.Client, sha256: str) -> httpx2.Response:
    """Ask for all bytes of damaged ones, which never come whole; returns what the next asker is told."""
    with pytest.raises(httpx2.RemoteProtocolError):
        operator.get(f"/v1/blobs/{sha256}")
    return operator.get(f"/v1/blobs/{sha256}")


def test_damage_is_noticed_on_reading_and_told_until_it_is_mended(home: HomeServer, operator: httpx2.Client) -> None:
    broken = snapshot(home, 2)
    DAMAGE["altered"](home.object(broken))
    told = get_twice(operator, broken)
    assert (told.status_code, told.json()["type"]) == (404, "urn:diffserver:problem:blob-lost")
    assert told.json()["remedy"] == "tell its operator to run: diffserver verify --repair"
    assert [line["object"] for line in home.logged("object damaged")] == [broken]
    until(lambda: operator.get("/readyz").json()["objects"] == {"missing": 0, "damaged": 1})
    assert operator.get(f"/v1/blobs/{snapshot(home, 1)}").status_code == 200

    assert home.run("verify", "--repair")["remaining"] == 0
    assert operator.get(f"/v1/blobs/{broken}").content == home.lineage.blobs[broken]
    until(lambda: operator.get("/readyz").json()["objects"] == {"missing": 0, "damaged": 0})


def test_a_damaged_payload_is_noticed_too(home: HomeServer, operator: httpx2.Client) -> None:
    payload = home.lineage.diffs[1].payload.sha256
    damage_payload(home, payload)
    assert get_twice(operator, payload).json()["type"] == "urn:diffserver:problem:blob-lost"
    assert [line["object"] for line in home.logged("object damaged")] == [payload]


def test_a_store_that_was_made_anew_is_not_ready(home: HomeServer, operator: httpx2.Client, tmp_path: Path) -> None:
    shutil.move(home.folder / "objects", tmp_path / "kept")
    (home.folder / "objects").mkdir()
    until(lambda: operator.get("/readyz").status_code == 503)
    assert "none of the" in operator.get("/readyz").json()["detail"]
    assert "snapshot of version 2" in home.logged("object missing")[0]["detail"]
    shutil.copytree(tmp_path / "kept", home.folder / "objects", dirs_exist_ok=True)
    until(lambda: operator.get("/readyz").status_code == 200)


def test_a_device_goes_round_what_is_missing_and_says_whom_to_tell(
    home: HomeServer, operator: httpx2.Client, tmp_path: Path
) -> None:
    home.object(snapshot(home, 2)).unlink()
    url, store = str(operator.base_url), Store(tmp_path / "device")
    with store.locked():
        plant_root(store.trust, (home.folder / "root.json").read_bytes())
        store.enroll(enroll(Transport(), url, home.operator, model=MODEL, name="kitchen"))
    outcome = poll(store, url)  # goes another way, by version 1
    assert outcome.action == "installed"
    assert outcome.detour is not None
    assert "the snapshot of version 2 of" in outcome.detour
    assert "is missing on the server: tell its operator" in outcome.detour
    until(lambda: operator.get("/readyz").json()["objects"] == {"missing": 1, "damaged": 0})
    home.run("verify", "--repair")
    until(lambda: operator.get("/readyz").json()["objects"] == {"missing": 0, "damaged": 0})


def poll(store: Store, url: str) -> Outcome:
    transport = Transport(Patience(attempts=1))
    return Updater(
        store,
        Service(transport, store.enrolment()),
        Fetcher(transport, [url], store.downloads),
        lambda: Trust(store.trust, [url + PATH], transport),
        store.policy(),
        lambda: False,
        CLASSIFIER.score,
    ).update()


def test_an_unknown_name_is_still_unknown(operator: httpx2.Client) -> None:
    assert operator.get(f"/v1/blobs/{'0' * 64}").json()["remedy"] == "poll again for the manifests that hold now"


@damages
def test_uploading_again_replaces_what_is_damaged(
    home: HomeServer, operator: httpx2.Client, tmp_path: Path, damage: Damage
) -> None:
    data = save(tmp_path / "c", {"w": np.arange(1000, dtype=np.float32)}).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with client(str(operator.base_url), home.operator) as who:
        assert who.put(f"/v1/checkpoints/{sha256}", content=data).status_code == 201
        damage(home.object(sha256))
        assert who.put(f"/v1/checkpoints/{sha256}", content=data).status_code == 201
        assert who.get(f"/v1/blobs/{sha256}").content == data
