"""A device's folder: slots named by digest, objects named by SHA-256, unfinished downloads, one state file.

    <root>/slots/<digest>/weights.safetensors   a version's weights; the one in use and the one before it
    <root>/objects/<sha256>                     graphs, parts of the probe set, payloads until applied
    <root>/downloads/<sha256>.part              what has arrived of a blob
    <root>/trust/                               the root of trust, and the metadata that was verified last
    <root>/field/                               errors that the application counted, until a server is told
    <root>/state.json                           which slot is in use: replacing it is what switches versions
    <root>/policy.json                          what an update may cost, and mirrors
    <root>/enrolment.json                       the server and this device's token; readable by its owner only

Power may fail anywhere: `state.json` names the old version or the new one, and both slots are whole. Deciding what to
install is left to `updater`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from diffclient import durable
from diffclient.errors import (
    DigestMismatch,
    NotEnrolled,
    NothingKept,
    SnapshotError,
    StateError,
    StoreBusy,
    StoreFailed,
)
from diffclient.network.messages import Enrolment
from diffclient.plain_text import plain
from diffclient.release.manifest import Blob
from diffclient.store.policy import Policy, read_policy
from diffclient.store.state import Installed, State, objects, read_kept_enrolment, read_state
from diffclient.tensors.snapshot import Snapshot

WEIGHTS = "weights.safetensors"
_DRAFT = "draft.new"


class Store:
    """The folder at `root`, made at the first write. Changing it needs `locked()`; reading does not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.downloads = root / "downloads"
        self.trust = root / "trust"
        self._slots = root / "slots"
        self._objects = root / "objects"
        self._state = root / "state.json"
        self._enrolment = root / "enrolment.json"
        self._policy = root / "policy.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the store against other processes, and remove what an interrupted one left.

        Raises StoreBusy, StoreFailed, StateError.
        """
        for folder in (self._slots, self._objects, self.downloads):
            durable.make_folder(folder)
        with durable.disk_errors(self.root / "lock"):
            lock = (self.root / "lock").open("a+b", buffering=0)
        with lock:
            self._take(lock)
            # What a process that was killed had renamed is seen, and relied on, from now on.
            durable.sync(self.root)
            self._tidy()
            yield

    def _take(self, lock: BinaryIO) -> None:
        """Lock the file, and write into it which process did and when; raises StoreBusy with what is written there."""
        try:
            with durable.disk_errors(self.root / "lock"):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except StoreFailed as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise StoreBusy(f"another process is using {self.root}{_holder(lock)}: wait until it ends") from error
        with contextlib.suppress(OSError):  # a full disk is no reason not to go on
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC".encode())

    # State, enrolment and policy

    def state(self) -> State:
        """Return the device's state; raises StateError, StoreFailed."""
        try:
            with durable.disk_errors(self._state):
                return read_state(self._state.read_bytes()) if self._state.exists() else State()
        except StateError as error:
            raise StateError(f"{error}; remove {self._state} to fetch the version afresh") from error

    def save(self, state: State) -> None:
        """Save `state` atomically, which switches from one version to another.

        Raises NoSpace, StoreFailed, and StateError on a state that could not be read back.
        """
        data = json.dumps(state.to_json(), indent=1).encode()
        read_state(data)
        durable.write_file(self._state, data)

    def enrolment(self) -> Enrolment:
        """Return the enrolment; raises NotEnrolled, StateError."""
        if not self.enrolled:
            raise NotEnrolled(f"{self.root} knows no server yet: run `diffclient enroll` first")
        with durable.disk_errors(self._enrolment):
            return read_kept_enrolment(self._enrolment.read_bytes())

    @property
    def enrolled(self) -> bool:
        """Whether the store has an enrolment; raises StoreFailed."""
        return durable.exists(self._enrolment)

    def enroll(self, enrolment: Enrolment) -> None:
        """Save the enrolment in a file that only its owner may read, for its token; raises NoSpace, StoreFailed."""
        data = json.dumps(asdict(enrolment), indent=1).encode()
        read_kept_enrolment(data)
        durable.write_file(self._enrolment, data, durable.PRIVATE)

    def policy(self) -> Policy:
        """Return the policy, or the default one; raises StateError, StoreFailed."""
        with durable.disk_errors(self._policy):
            return read_policy(self._policy.read_bytes()) if self._policy.exists() else Policy()

    def allow(self, policy: Policy) -> None:
        """Save the policy; raises NoSpace, StoreFailed, and StateError on a policy that could not be read back."""
        data = json.dumps(policy.to_json(), indent=1).encode()
        read_policy(data)
        durable.write_file(self._policy, data, mode=0o600)  # a proxy's password may be in it

    # Objects and slots

    def object(self, blob: Blob) -> Path:
        """Return the path of a blob, whether it exists or not."""
        return self._objects / blob.sha256

    def has(self, blob: Blob) -> bool:
        """Tell whether a blob is here and intact, by hashing every byte; raises StoreFailed."""
        path = self.object(blob)
        return durable.exists(path) and durable.size(path) == blob.length and durable.sha256(path) == blob.sha256

    def weights(self, digest: str) -> Path:
        """Return the path of a slot's snapshot, whether it exists or not."""
        return self._slots / digest / WEIGHTS

    def holds(self, digest: str) -> bool:
        """Tell whether a slot is here and intact, by hashing every byte."""
        with contextlib.suppress(SnapshotError), durable.disk_errors(self.weights(digest)):
            return Snapshot(self.weights(digest)).digest() == digest
        return False

    def draft(self) -> Path:
        """Return the path for a new slot's weights, in an empty folder beside the slots."""
        folder = self._slots / _DRAFT
        durable.remove(folder)
        durable.make_folder(folder)
        return folder / WEIGHTS

    def keep(self, digest: str) -> Snapshot:
        """Read the draft back from the disk, and rename it to its slot if its digest is `digest`.

        Raises DigestMismatch, SnapshotError, StoreFailed.
        """
        draft, slot = self._slots / _DRAFT, self._slots / digest
        with durable.disk_errors(draft):
            durable.sync(draft / WEIGHTS)
            durable.sync(draft)
            actual = Snapshot(draft / WEIGHTS).digest()
        if actual != digest:
            raise DigestMismatch(
                f"the new weights have digest {actual}, not {digest}: `diffclient verify`; if the version in "
                "use is damaged, `diffclient update` fetches it afresh"
            )
        durable.remove(slot)
        durable.rename(draft, slot)
        return Snapshot(slot / WEIGHTS)

    def verify(self, version: Installed) -> None:
        """Hash a version's weights and objects again; raises DigestMismatch naming what is damaged."""
        damaged = [] if self.holds(version.digest) else [f"weights {version.digest}"]
        damaged += [f"object {blob.sha256}" for blob in objects(version.manifest) if not self.has(blob)]
        if damaged:
            raise DigestMismatch(
                f"damaged or missing: {', '.join(damaged)}; `diffclient update` fetches them afresh, "
                "`diffclient rollback` returns to the version kept"
            )

    def rolled_back(self, state: State) -> tuple[Installed, State]:
        """Return the version kept, verified, and the state with it in use; the version left is held back.

        Raises NothingKept, DigestMismatch.
        """
        if not (state.current and state.previous):
            raise NothingKept("no earlier version is kept here: nothing to return to")
        self.verify(state.previous)
        held_back = state.current.digest
        return state.previous, replace(state, current=state.previous, previous=None, held_back=held_back, failure=None)

    def sweep(self, blobs: Iterable[Blob]) -> None:
        """Remove the downloads and objects that are not among `blobs`, except objects of the versions here."""
        needed = {blob.sha256 for blob in blobs}
        in_use = {blob.sha256 for version in self.state().kept for blob in objects(version.manifest)}
        unneeded = [path for path in durable.names(self._objects) if path.name not in in_use | needed]
        unneeded += [path for path in durable.names(self.downloads) if path.name.removesuffix(".part") not in needed]
        for path in unneeded:
            durable.remove(path)

    def _tidy(self) -> None:
        """Remove drafts and the slots that the state does not name."""
        slots = {version.digest for version in self.state().kept}
        metadata = durable.names(self.trust) if durable.exists(self.trust) else []
        drafts = [path for path in (*durable.names(self.root), *metadata) if path.suffix == ".new"]
        for path in (*drafts, *durable.names(self._slots)):
            if path.name not in slots:
                durable.remove(path)


def _holder(lock: BinaryIO) -> str:
    """Return who holds a lock, and since when, as its file says it."""
    with contextlib.suppress(OSError):
        lock.seek(0)
        if holder := plain(lock.read(200).decode(errors="replace"), 100):
            return f" ({holder})"
    return ""
