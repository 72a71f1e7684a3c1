"""python-tuf's updater with durable files and bounded downloads.

`<folder>/root.json` is the newest root that was verified, and what the next refresh starts from; each newer one
replaces it in one step as soon as the one before it vouches for it. `<folder>/<role>.json` is what was verified
last of each other role, and `<folder>/latest` the time by this device's clock when a new timestamp was last
accepted: a clock that is set back later does not make expired metadata valid again. Clocks may be wrong, so neither
binds a device for long: a timestamp that would hold for longer than LONGEST is refused, and a `latest` that lies more
than LIFE ahead is forgotten.

The rules that metadata must follow are left to python-tuf, naming its errors to `verified_metadata`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from diffclient import durable
from diffclient.errors import AnswerTooLong, MetadataTooLong, ServerRefused, ServerUnreachable, ValidTooLong
from diffclient.network.messages import Standing
from diffclient.network.transport import Transport, read_bounded

ROOT, LATEST = "root.json", "latest"

LIFE = timedelta(days=1)
"""What servers give a timestamp."""

LONGEST = timedelta(days=7)
"""How far ahead a timestamp may expire; what is more than its life is for clocks that disagree."""

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock that says less than when this client was written never was set, and is no judge of others."""

LIMITS = UpdaterConfig(
    root_max_length=512_000,
    timestamp_max_length=16_384,
    snapshot_max_length=2_000_000,
    targets_max_length=5_000_000,
)
"""The most bytes of metadata whose length is not signed."""


class MetadataFetcher(FetcherInterface):
    """A fetcher of metadata from the first address that can be reached; `received` counts the bytes of all bodies."""

    def __init__(self, transport: Transport, bases: Sequence[str]) -> None:
        self._transport = transport
        self._bases = [base.rstrip("/") for base in bases]
        self.received = 0

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the body at `url`, a path below each of the addresses.

        Raises MetadataTooLong, NetworkError, AnswerError; DownloadHTTPError where the server refuses, since
        python-tuf takes a refusal of a root for the news that there is no newer one.
        """
        try:
            return self._transport.persist(lambda: self._from_any(url, max_length))
        except ServerRefused as error:
            raise DownloadHTTPError(str(error), error.status) from error

    def _from_any(self, url: str, limit: int) -> bytes:
        """Ask the addresses in order, the next one only if the one before cannot be reached; that one is last now."""
        for base in self._bases[:-1]:
            with contextlib.suppress(ServerUnreachable):
                return self._from_one(base + url, limit)
            self._bases.append(self._bases.pop(0))
        return self._from_one(self._bases[0] + url, limit)

    def _from_one(self, url: str, limit: int) -> bytes:
        try:
            with self._transport.open("GET", url, {}) as response:
                body = read_bounded(response, limit)
        except AnswerTooLong as error:
            raise MetadataTooLong(f"{url} is longer than {limit:,} bytes: it was not read on") from error
        self.received += len(body)
        return body

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Yield a body of any length; required by python-tuf's interface, and not used here."""
        with self._transport.open("GET", url, {}) as response:
            yield from response.pieces


class DurableUpdater(Updater):
    """python-tuf's updater, with every file durable before it is used."""

    def __init__(self, folder: Path, fetcher: FetcherInterface, longest: timedelta | None = LONGEST) -> None:
        self._folder = folder
        self._longest = longest
        with durable.disk_errors(folder):
            durable.sync(folder)  # a rename that an interrupted process did not see through is relied on from now on
            root = (folder / ROOT).read_bytes()
        super().__init__(str(folder), "", fetcher=fetcher, config=LIMITS, bootstrap=root)
        self.clock = self._trusted_set.reference_time
        self._trusted_set.reference_time = max(self.clock, self._latest())

    @property
    def now(self) -> datetime:
        """The reference time for expiry: the clock's, or the latest known time if that is later."""
        return self._trusted_set.reference_time

    @property
    def prefixed(self) -> bool:
        """Whether the repository names its files by versions and hashes."""
        return bool(self._trusted_set.root.consistent_snapshot)

    def stands(self, standing: Standing) -> bool:
        """Load what was verified last, without a request; tell whether that is what stands, and all of it still holds.

        An updater that has loaded only a part of it is of no more use.
        """
        if self._trusted_set.root.version != standing.root:
            return False
        try:
            timestamp = self._load_local_metadata(Timestamp.type)
            if hashlib.sha256(timestamp).hexdigest() != standing.timestamp:
                return False
            self._trusted_set.update_timestamp(timestamp)
            self._require_short()
            self._trusted_set.update_snapshot(self._load_local_metadata(Snapshot.type), trusted=True)
            targets = self._load_local_metadata(Targets.type)
            self._trusted_set.update_delegated_targets(targets, Targets.type, Root.type)
        except (FileNotFoundError, RepositoryError, ValidTooLong):
            return False
        return True

    def _load_local_metadata(self, rolename: str) -> bytes:
        """Return a kept file; raises StoreFailed on one that cannot be read, lest older metadata be accepted."""
        try:
            return super()._load_local_metadata(rolename)
        except FileNotFoundError:
            raise
        except OSError:
            with durable.disk_errors(self._folder / rolename):
                raise

    def _load_timestamp(self) -> None:
        super()._load_timestamp()
        self._require_short()  # also of one that was kept when the clock said otherwise

    def _require_short(self) -> None:
        """Refuse a timestamp that would hide for long that newer ones are withheld; raises ValidTooLong."""
        expires = self._trusted_set.timestamp.expires
        if self._longest and self.now >= WRITTEN and expires > self.now + self._longest:
            raise ValidTooLong(
                f"timestamp.json would hold until {expires:%Y-%m-%d %H:%M} UTC, and no server gives it more than "
                f"{self._longest.days} days from now ({self.now:%Y-%m-%d %H:%M} UTC by this device's clock): the "
                "server's clock is ahead, or was when it signed, or this device's is behind; once both are right, "
                "updates go on"
            )

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        if rolename == Timestamp.type:
            self._require_short()
            self._persist_file(str(self._folder / LATEST), self.now.isoformat(timespec="seconds").encode())
        super()._persist_metadata(rolename, data)

    def _persist_root(self, version: int, data: bytes) -> None:  # noqa: ARG002  # its own name
        if data != self._load_local_metadata(Root.type):
            self._persist_file(str(self._folder / ROOT), data)

    def _persist_file(self, filename: str, data: bytes) -> None:
        durable.write_file(Path(filename), data)

    def _update_root_symlink(self) -> None:
        """Leave root.json alone: it is the newest root itself."""

    def _latest(self) -> datetime:
        """Return when a timestamp was last accepted; the earliest time if that is not known, or cannot have been."""
        path = self._folder / LATEST
        recorded = datetime.min.replace(tzinfo=UTC)
        with contextlib.suppress(ValueError), durable.disk_errors(path):
            if path.exists():
                recorded = datetime.fromisoformat(path.read_text()).astimezone(UTC)
        ahead = self._longest and self.clock >= WRITTEN and recorded - self.clock > LIFE
        return self.clock if ahead else recorded
