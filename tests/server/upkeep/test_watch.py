"""What a server says of its objects, and how often it looks and tells."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from diffserver.errors import BlobCorrupt
from diffserver.logs import make_log
from diffserver.storage.object_store import Objects
from diffserver.upkeep.watch import ObjectState, ObjectWatch
from tests.server import factories
from tests.server.conftest import Service
from tests.server.s3_server import BUCKET


class SlowObjects(Objects):
    """A store that answers only when it is let, and counts how often it was asked whether it can be written."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.open = threading.Event()
        self.entered = threading.Event()
        self.asked = 0

    def writable(self) -> bool:
        self.asked += 1
        self.entered.set()
        assert self.open.wait(20)
        return super().writable()


def read_all(watch: ObjectWatch, objects: Objects, sha256: str) -> None:
    found = objects.find(sha256)
    assert found is not None
    for _ in watch.checked(objects.stream(sha256), sha256, found.tag):
        pass


def test_damage_is_told_once_and_forgotten_when_it_is_mended(service: Service) -> None:
    watch = ObjectWatch(service.engine, service.objects, make_log(service.lines), fresh_seconds=0)
    data = b"some bytes" * 1000
    sha256 = service.objects.put(data).sha256
    path = Path(service.settings.objects.removeprefix("file://")) / "sha256" / sha256[:2] / sha256
    for _ in range(3):
        path.write_bytes(data[:-1])
        for _ in range(2):
            with pytest.raises(BlobCorrupt):
                read_all(watch, service.objects, sha256)
        assert watch.state().damaged == 1
        service.objects.put(data)
        assert watch.state().damaged == 0
        read_all(watch, service.objects, sha256)
    assert len([line for line in service.logged() if line["event"] == "object damaged"]) == 3


def test_only_the_latest_versions_objects_are_looked_for(service: Service) -> None:
    service.publish_chain(2)
    watch = ObjectWatch(service.engine, service.objects, make_log(service.lines), fresh_seconds=0)
    state = watch.state()
    expected = {factories.blob("v2").sha256, factories.blob("graph").sha256, factories.blob("probes").sha256}
    assert {one.sha256 for one in state.missing} == expected
    assert state.lost
    watch.state()
    assert len([line for line in service.logged() if line["event"] == "object missing"]) == 3
    assert watch.name_of(factories.blob("v0").sha256) == "snapshot of version 0 of speech"
    assert watch.name_of(factories.digest("unknown")) is None


def test_of_a_store_that_does_not_answer_nothing_else_is_asked(service: Service, s3: Callable[[], str]) -> None:
    service.publish_chain(0)
    watch = ObjectWatch(service.engine, Objects(s3().replace(BUCKET, "elsewhere")), make_log())
    assert watch.state() == ObjectState(writable=False)


def test_who_asks_for_health_does_not_wait_for_a_slow_store(service: Service) -> None:
    slow = SlowObjects(service.settings.objects)
    watch = ObjectWatch(service.engine, slow, make_log(service.lines), fresh_seconds=0)
    slow.open.set()
    first = watch.state()
    slow.open.clear()
    slow.entered.clear()
    looking = threading.Thread(target=watch.state)
    looking.start()
    assert slow.entered.wait(20)
    assert all(watch.state() is first for _ in range(100))
    assert slow.asked == 2
    slow.open.set()
    looking.join()
