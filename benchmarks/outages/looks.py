"""An operator who looks again and again, and compares what is shown, and every byte that is served, with the truth."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.outages.operator import Operator, Refused, Unanswered
from benchmarks.outages.published import History
from benchmarks.outages.topology import MODEL


class Looks:
    """Looks at the channel and the versions through nginx, and at the newest version's bytes at each server in turn."""

    def __init__(self, front: Operator, servers: list[Operator], history: History) -> None:
        self.faults: list[str] = []
        self.blobs = 0
        self._front, self._history = front, history
        self._servers: Iterator[Operator] = itertools.cycle(servers)

    def look(self) -> None:
        """Look once; what goes unanswered is looked at the next time."""
        try:
            self._channel()
            self._bytes_of(self._versions()[-1])
        except Unanswered:
            return
        except Refused as refused:
            self.faults.append(str(refused))

    def _channel(self) -> None:
        asked = time.monotonic()
        shown = self._front.ask("GET", f"/v1/models/{MODEL}").json()
        self._note("the channel is at", self._history.fault(shown["head"], shown["digest"], asked))

    def _versions(self) -> Any:
        asked = time.monotonic()
        shown = self._front.ask("GET", f"/v1/models/{MODEL}/versions?limit=500").json()["items"]
        for version in shown:
            self._note("there is", self._history.fault(version["number"], version["digest"], float("-inf")))
        self._note("the last is", self._history.fault(shown[-1]["number"], shown[-1]["digest"], asked))
        if [version["number"] for version in shown] != list(range(len(shown))):
            self.faults.append(f"the versions are {[version['number'] for version in shown]}")
        return shown

    def _bytes_of(self, version: Any) -> None:
        """Read what devices fetch of a version, past nginx and its cache."""
        server, manifest = next(self._servers), version["manifest"]
        blobs = [manifest["payload"], manifest["graph"], *(probe["blob"] for probe in manifest["probes"])]
        for blob in blobs:
            content = server.ask("GET", f"/v1/blobs/{blob['sha256']}").content
            self.blobs += 1
            if hashlib.sha256(content).hexdigest() != blob["sha256"]:
                self.faults.append(f"blob {blob['sha256']} came with other bytes, {len(content)} of {blob['length']}")

    def _note(self, what: str, fault: str | None) -> None:
        if fault:
            self.faults.append(f"{what} {fault}")
