"""Tokens end, count and can be told apart; whoever guesses them has to wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import update

from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Token
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.hostile.home_server import HomeServer, client, until

ALLOWED = 6


@dataclass(frozen=True)
class Site:
    """A server that runs, and its home."""

    home: HomeServer
    operator: httpx2.Client

    def enroll(self, name: str, token: str | None = None) -> httpx2.Response:
        with client(str(self.operator.base_url), token or self.home.operator) as who:
            return who.post("/v1/enroll", json={"model": MODEL, "name": name})

    def poll(self, token: str) -> httpx2.Response:
        with client(str(self.operator.base_url), token) as device:
            return device.post("/v1/device/poll", json={"digest": None})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("tokens")
    lineage = Lineage(folder / "lineage", CLASSIFIER)
    lineage.folder.mkdir(exist_ok=True)
    home = HomeServer(folder / "home", lineage.grow(0), {"DIFFSERVER_WRONG_TOKENS": str(ALLOWED)})
    home.publish(0)
    with home.serving() as operator:
        yield Site(home, operator)


def test_an_enrolment_token_takes_in_as_many_devices_as_it_says(site: Site) -> None:
    made = site.home.run("token", "create", "enroll", "--uses", "3", "--name", "line 2")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: site.enroll(f"d{number}", made["token"]), range(8)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 403: 5}
    refused = next(answer.json() for answer in answers if answer.status_code == 403)
    assert "made for 3 devices" in refused["detail"]
    (listed,) = [item for item in site.home.run("token", "list") if item["id"] == made["id"]]
    assert (listed["uses"], listed["used"]) == (3, 3)


def test_an_enrolment_token_expires(site: Site) -> None:
    made = site.home.run("token", "create", "enroll", "--expires", "1m")
    assert site.enroll("in time", made["token"]).status_code == 201
    with writing(site.home.engine) as session:
        late = update(Token).where(Token.id == made["id"])
        session.execute(late.values(expires_at=utc_now() - timedelta(seconds=1)))
    assert site.enroll("late", made["token"]).status_code == 401


def test_of_three_kitchens_the_right_one_is_shut_out(site: Site) -> None:
    kitchens = [site.enroll("kitchen").json() for _ in range(3)]
    ids = [device["device_id"] for device in kitchens]
    listed = site.operator.get(f"/v1/models/{MODEL}/devices").json()["items"]
    assert [device["id"] for device in listed if device["name"] == "kitchen"] == ids
    (mine,) = site.home.run("token", "list", "--device", ids[1])
    assert site.home.run("token", "revoke", ids[1]) == {
        "ids": [mine["id"]],
        "device_id": ids[1],
        "revoked": True,
    }
    assert [site.poll(device["token"]).status_code for device in kitchens] == [200, 401, 200]


def test_whoever_guesses_has_to_wait_and_who_was_right_before_does_not(site: Site) -> None:
    device, new = (site.enroll(name).json()["token"] for name in ("known", "new"))
    assert site.poll(device).status_code == 200
    answers = [site.poll(f"ds_device_{number}") for number in range(ALLOWED + 20)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[-1] == 429
    assert statuses.count(401) <= ALLOWED + 5, "the allowance, and what time gave back meanwhile"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 4
    assert answers[-1].json()["type"] == "urn:diffserver:problem:too-many"
    assert site.poll(device).status_code == 200
    until(lambda: site.poll(new).status_code == 200, seconds=10)
