"""Measure the bytes of metadata that a device fetches, in a poll without news and in one with a diff.

Build a model of 1,000 versions (real rows, real signatures, short cuts), serve it over a socket, and read it with the
client's trust: `python -m benchmarks.metadata`. Payloads are random bytes, since nothing here reads them.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from sqlalchemy import Engine

from diffclient.network.transport import Response, Transport
from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.release.metric import Metric
from diffclient.release.target_custom import read_facts
from diffclient.release.target_names import snapshot_name
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffserver.catalog import devices, tokens
from diffserver.catalog.candidate import NewCandidate, NewShortcut
from diffserver.catalog.versions import record_candidate
from diffserver.demo.run import serving
from diffserver.polls.memory import HEAR_SECONDS
from diffserver.settings import ROOT_FILE, TOKEN_FILE, Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, now, reading, writing
from diffserver.storage.object_store import Objects
from diffserver.trust import metadata_rows, releases, signing
from diffserver.trust.bootstrap import establish
from diffserver.trust.keys import Keyring

MODEL = "commands"
WER = Metric("WER", "words")
GRAPH = "graph"
DOMAINS = 6
SHORTCUTS = 2
BEHIND = 40
BARS = {"nothing new": 2048, "nothing new, timestamp and snapshot renewed": 2048, "one new diff": 10 * 1024}
"""The most bytes that a poll may cost besides the payload."""


@dataclass(frozen=True)
class Bodies:
    """The bytes of each body that a poll fetched, by name, without payloads."""

    by_name: Mapping[str, int]

    @property
    def total(self) -> int:
        """The bytes of all bodies."""
        return sum(self.by_name.values())


def candidate(number: int) -> NewCandidate:
    """Return version `number` as training gives it, with a diff, short cuts and a probe part for each domain."""
    base, payload = number == 0, None if number == 0 else os.urandom(256)
    snapshot, graph = _blob(f"snapshot {number}"), _blob(GRAPH)
    manifest = Manifest(
        model=MODEL,
        kind="snapshot" if base else "sparse",
        from_digest=None if base else _digest(number - 1),
        from_version=None if base else number - 1,
        to_digest=_digest(number),
        to_version=number,
        payload=snapshot if payload is None else Blob(hashlib.sha256(payload).hexdigest(), len(payload)),
        graph=graph,
        probes=tuple(Probe(f"{part}-domain", _blob(f"probe {part}"), 60, number % 9) for part in range(DOMAINS)),
        metric=WER,
        error_rate_ppm=31_250 + number,
        version_0_errors=12,
        max_drift_ppm=100_000,
    )
    return NewCandidate(
        model=MODEL,
        task="asr",
        kind="base" if base else "update",
        method="base" if base else "sparse",
        number=number,
        parent_digest=manifest.from_digest,
        digest=manifest.to_digest,
        payload=payload,
        snapshot=snapshot,
        graph=graph,
        changed_weights=70_000,
        budget=0.02,
        payload_share=0.02,
        seconds_train=1.0,
        metric=WER,
        evaluation={"base": {"parent": None, "candidate": {"errors": 12, "total": 400}}},
        data="/data",
        manifest=manifest.to_json(),
        domains=["base"],
        shortcuts=tuple(_shortcut(number, back) for back in range(2, 2 + SHORTCUTS) if back <= number),
    )


HEARD_SECONDS = 3 * HEAR_SECONDS
"""By then the server has heard of what another process changed."""


def publish(engine: Engine, keyring: Keyring, number: int) -> None:
    """Record a version and publish it, as a worker and an operator do."""
    with writing(engine) as session:
        candidate_row = record_candidate(session, candidate(number))
    with writing(engine) as session:
        releases.publish(session, keyring, candidate_row.id, by="benchmark")


class RecordingTransport(Transport):
    """A transport that records the URLs requested."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        redirects: int = 0,
        seconds: float | None = None,
    ) -> Iterator[Response]:
        """Record the URL and open it."""
        self.urls.append(url)
        with super().open(method, url, headers, body, redirects, seconds) as response:
            yield response


class Device:
    """A device whose metadata is kept between polls, as on its disk."""

    def __init__(self, url: str, token: str, folder: Path, root: bytes) -> None:
        self._url, self._folder = url, folder
        self._client = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})
        plant_root(folder, root)

    def poll(self, held: int) -> Bodies:
        """Poll as a device with version `held`, refresh, and look up all that the update needs."""
        answer = self._client.post("/v1/device/poll", json={"digest": _digest(held), "client": "diffclient/0.1.0"})
        answer.raise_for_status()
        transport = RecordingTransport()
        trust = Trust(self._folder, [self._url + PATH], transport)
        trust.refresh()
        for step in answer.json()["steps"]:
            trust.get(step)
        if answer.json()["steps"]:
            name = snapshot_name(MODEL, answer.json()["version"])
            for needed in read_facts(name, trust.get(name).custom).objects:
                trust.get(needed)
        bodies = {url.rpartition("/")[2]: self._client.get(url) for url in transport.urls}
        body_bytes = sum(len(body.content) for body in bodies.values() if body.is_success)
        if body_bytes != trust.received:
            raise SystemExit(f"{trust.received} bytes of metadata arrived, and the files add up to {body_bytes}")
        return Bodies({"poll": len(answer.content), **{name: len(body.content) for name, body in bodies.items()}})


def measure(folder: Path, versions: int) -> dict[str, Bodies]:
    """Build the versions, serve them, and return the bodies of each kind of poll."""
    settings = Settings.under(folder / "home")
    settings.home.mkdir()
    engine, keyring = connect(settings.database), Keyring(settings.keys)
    migrate.upgrade(engine)
    establish(engine, settings)
    Objects(settings.objects).put(GRAPH.encode())  # a server whose objects are all lost is not ready
    with writing(engine) as session:
        _, operator = tokens.create(session, "admin", "benchmark")
    (settings.home / TOKEN_FILE).write_text(operator)
    for number in range(versions - 1):
        publish(engine, keyring, number)
        if sys.stderr.isatty() or number % 100 == 0:
            sys.stderr.write(f"\r{number} versions")
    with writing(engine) as session:
        _, token = devices.enroll(session, MODEL, "device", "stable")
    with serving(settings.home, "--no-worker") as server:
        device = Device(server.url, token, folder / "device", (settings.home / ROOT_FILE).read_bytes())
        device.poll(versions - 3)
        polls = {"nothing new": device.poll(versions - 2)}
        with writing(engine) as session:
            metadata_rows.lock(session)
            signing.refresh(session, keyring, now(session), with_snapshot=True)
        time.sleep(HEARD_SECONDS)
        polls["nothing new, timestamp and snapshot renewed"] = device.poll(versions - 2)
        publish(engine, keyring, versions - 1)
        time.sleep(HEARD_SECONDS)
        polls["one new diff"] = device.poll(versions - 2)
        fresh = Device(server.url, token, folder / "fresh", (settings.home / ROOT_FILE).read_bytes())
        polls["first install"] = fresh.poll(versions)
        behind = Device(server.url, token, folder / "behind", (settings.home / ROOT_FILE).read_bytes())
        polls[f"{BEHIND} versions behind"] = behind.poll(versions - 1 - BEHIND)
    with reading(engine) as session:
        sys.stderr.write(f"\r{metadata_rows.size(session):,} bytes of metadata are kept\n")
    return polls


def main() -> None:
    """Measure, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        polls = measure(Path(folder), options.versions)
    for name, bodies in polls.items():
        parts = ", ".join(f"{part} {size:,}" for part, size in bodies.by_name.items())
        print(f"{name}: {bodies.total:,} bytes ({parts})")
    if options.json:
        figures = {name: {"total": bodies.total, **bodies.by_name} for name, bodies in polls.items()}
        options.json.write_text(
            json.dumps({"versions": options.versions, "bytes": figures, "bars": BARS}, indent=1) + "\n"
        )
    sys.exit("; ".join(missed(polls)) or 0)


def missed(polls: Mapping[str, Bodies]) -> list[str]:
    """Return the bars that are missed, in words."""
    return [
        f"{name}: {polls[name].total:,} bytes, and the bar is {bar:,}"
        for name, bar in BARS.items()
        if polls[name].total > bar
    ]


def _digest(number: int) -> str:
    return hashlib.sha256(f"version {number}".encode()).hexdigest()


def _blob(label: str) -> Blob:
    return Blob(hashlib.sha256(label.encode()).hexdigest(), 4_000_000)


def _shortcut(number: int, back: int) -> NewShortcut:
    return NewShortcut(_digest(number - back), number - back, os.urandom(300))


if __name__ == "__main__":
    main()
