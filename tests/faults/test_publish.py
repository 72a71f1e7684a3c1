"""A server that dies, or whose database refuses, at any statement of a release: the old state or the new one, whole.

Before each statement and the commit the process is killed, and then the database refuses; last, it is killed after the
commit. Each time a device that has come along refreshes its metadata and polls.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from diffclient.trust.durable_updater import DurableUpdater
from diffclient.trust.verified_metadata import plant_root
from tests.faults.publishing import REFUSED, Act, Task, Way, everything, run
from tests.server import factories
from tests.server.conftest import Service, record

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.publishing"])
NEWEST = 3


class Via(FetcherInterface):
    """Metadata straight from the application."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def download_bytes(self, url: str, max_length: int) -> bytes:
        answer = self._client.get(f"/v1/tuf/{url.lstrip('/')}")
        if answer.status_code != 200:
            raise DownloadHTTPError(answer.text, answer.status_code)
        return answer.content

    def _fetch(self, url: str) -> Any:
        raise NotImplementedError


@dataclass
class Follower:
    """A device that polls, and believes the metadata alone."""

    service: Service
    client: TestClient
    folder: Path

    def poll(self) -> tuple[int, list[str]]:
        """The version assigned from nothing, once all that leads there was found in verified metadata."""
        self.service.app.state.memory.hear(self.service.engine)  # of what another process did; else within a second
        body = {"digest": None, "client": "test", "full_fallback": True}
        answer = self.client.post("/v1/device/poll", json=body).json()
        trust = DurableUpdater(self.folder, Via(self.service.public))
        trust.refresh()
        for step in answer["steps"]:
            assert trust.get_targetinfo(step) is not None, step
        return answer["version"], answer["steps"]


@pytest.fixture
def follower(service: Service, tmp_path: Path) -> Follower:
    service.publish_chain(NEWEST)
    plant_root(tmp_path / "trust", service.public.get("/v1/tuf/1.root.json").content)
    return Follower(service, service.device("follower"), tmp_path / "trust")


def attempt(task: Task) -> int | None:
    process = CONTEXT.Process(target=run, args=(task,))
    process.start()
    process.join(120)
    return process.exitcode


def candidate(service: Service) -> int:
    return record(service.engine, factories.update(f"v{NEWEST}", f"v{NEWEST + 1}", NEWEST + 1)).id


RELEASES: list[tuple[Act, Callable[[Service], Any], int]] = [
    ("publish", candidate, NEWEST + 1),
    ("go back", lambda _service: 1, 1),
    ("retire", lambda _service: NEWEST - 1, NEWEST),
    ("renew", lambda _service: None, NEWEST),
]


@pytest.mark.parametrize(("act", "subject", "after"), RELEASES, ids=[act for act, _, _ in RELEASES])
def test_the_old_state_or_the_new_one(
    service: Service, follower: Follower, tmp_path: Path, act: Act, subject: Callable[[Service], Any], after: int
) -> None:
    chosen, url, keys = subject(service), service.settings.database, service.settings.keys

    def fails(way: Way, at: int = -1) -> int | None:
        return attempt(Task(url, keys, act, chosen, way, at, tmp_path / "counts"))

    assert fails("counted") == 0
    statements = int((tmp_path / "counts").read_text())
    assert statements > 10
    assert follower.poll()[0] == NEWEST
    before = everything(service.engine)
    ways: dict[Way, int] = {"killed": -signal.SIGKILL, "refused": REFUSED}
    for at in range(statements):
        for way, code in ways.items():
            assert fails(way, at) == code, f"{way} at {at}"
            assert everything(service.engine) == before, f"{way} at {at}"
    assert follower.poll()[0] == NEWEST

    assert fails("killed after it") == -signal.SIGKILL
    assert everything(service.engine) != before
    assert follower.poll()[0] == after


def test_a_release_that_was_cut_short_can_be_done_again(service: Service, follower: Follower, tmp_path: Path) -> None:
    new = factories.update(f"v{NEWEST}", f"v{NEWEST + 1}", NEWEST + 1)
    number = record(service.engine, new).id
    task = Task(service.settings.database, service.settings.keys, "publish", number, "killed", 12, tmp_path / "counts")
    assert attempt(task) == -signal.SIGKILL
    assert service.operator.post(f"/v1/candidates/{number}/publish", json={}).status_code in (200, 201)
    assert follower.poll()[0] == NEWEST + 1
    assert service.operator.post(f"/v1/candidates/{number}/publish", json={}).status_code == 409
