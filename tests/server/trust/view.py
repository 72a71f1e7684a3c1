"""A device's view: python-tuf's own updater on the service's answers, starting from a root."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater

from tests.server.conftest import Service


class Wire(FetcherInterface):
    """A fetcher through a test client that records the files."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self.bodies: dict[str, int] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._client.get(url)
        self.bodies[url.rpartition("/")[2]] = len(answer.content)
        if answer.status_code != 200:
            raise DownloadHTTPError(url, answer.status_code)
        yield answer.content


class Device:
    """A device's metadata in a folder."""

    def __init__(self, service: Service, folder: Path, root: bytes | None = None) -> None:
        self._service, self._folder = service, folder
        self._root = root or (service.settings.home / "root.json").read_bytes()
        folder.mkdir(exist_ok=True)
        self.wire = Wire(service.public)

    def updater(self) -> Updater:
        """A refreshed updater; raises what python-tuf raises."""
        self.wire.bodies.clear()
        client = Updater(str(self._folder), "/v1/tuf/", fetcher=self.wire, bootstrap=self._root)
        client.refresh()
        return client

    def find(self, name: str) -> TargetFile | None:
        """What verified metadata says of a target."""
        return self.updater().get_targetinfo(name)


def in_force(service: Service, role: str) -> dict[str, Any]:
    """The signed part of a role's metadata, by the service's own answers."""
    timestamp = service.public.get("/v1/tuf/timestamp.json").json()["signed"]
    if role == "timestamp":
        return dict(timestamp)
    number = timestamp["meta"]["snapshot.json"]["version"]
    snapshot = service.public.get(f"/v1/tuf/{number}.snapshot.json").json()["signed"]
    if role != "snapshot":
        number = snapshot["meta"][f"{role}.json"]["version"]
        return dict(service.public.get(f"/v1/tuf/{number}.{role}.json").json()["signed"])
    return dict(json.loads(json.dumps(snapshot)))
