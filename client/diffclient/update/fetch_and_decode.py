"""Gathering what an update is made of: blobs fetched into the store, payloads and the parent opened.

Whether the steps lead anywhere was checked before, and what comes of them is checked after.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffclient import durable
from diffclient.errors import PayloadError
from diffclient.network.fetch import Fetcher
from diffclient.payload.decode import Payload, open_payload
from diffclient.release.manifest import Blob
from diffclient.store.state import objects
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot, Table
from diffclient.update.route import Leg, Route

PAYLOAD_ALLOWANCE = 1 << 16
"""Bytes by which a payload may be longer than its parent, since small models have small payloads with large headers."""


def missing(store: Store, steps: Sequence[Leg], others: Sequence[Blob]) -> list[Blob]:
    """Return which of the steps' payloads and other blobs are not here; every byte of the others is hashed again.

    Raises PayloadError on a diff that is longer than what it changes, StoreFailed.
    """
    _require_diffs_smaller(steps, _slot_bytes(store, steps))
    wanted = dict.fromkeys((*(step.payload for step in steps), *others))
    return [blob for blob in wanted if not store.has(blob)]


def cost(fetcher: Fetcher, blobs: Sequence[Blob]) -> int:
    """Return how many bytes of some blobs have yet to come; raises StoreFailed."""
    return sum(blob.length - fetcher.arrived(blob) for blob in blobs)


def download(store: Store, fetcher: Fetcher, steps: Sequence[Leg], blobs: Sequence[Blob]) -> dict[Blob, int]:
    """Fetch the blobs that are missing for some steps; return how many bytes of each were received.

    First makes sure that all of it fits, with the new slot. Raises NoSpace, StoreFailed, NetworkError, AnswerError,
    DigestMismatch.
    """
    durable.require_space(store.root, cost(fetcher, blobs) + _slot_bytes(store, steps))
    received = {}
    for blob in blobs:
        before = fetcher.received
        fetcher.fetch(blob, store.object(blob))
        received[blob] = fetcher.received - before
    return received


def decode(store: Store, steps: Sequence[Leg]) -> tuple[Snapshot, list[Payload]]:
    """Return what the chain starts from and its payloads, opened; all of them must be at hand.

    Raises PayloadError, WrongParent, SnapshotError, StoreFailed.
    """
    parent = _parent(store, steps[0])
    table, payloads = parent.table, []
    for step in steps:
        if step.kind != "snapshot":
            payloads.append(_payload(store, step, table))
            table = payloads[-1].table_after
    return parent, payloads


def wanted(route: Route) -> list[Blob]:
    """Return every blob that a route names, and the snapshot that another way may have begun to fetch."""
    whole = (route.whole,) if route.whole else ()
    return [*(leg.payload for leg in route.legs), *objects(route.target), *whole]


def _parent(store: Store, first: Leg) -> Snapshot:
    if first.from_digest is None:
        return Snapshot(store.object(first.payload))
    return Snapshot(store.weights(first.from_digest))


def _payload(store: Store, step: Leg, table: Table) -> Payload:
    assert step.from_digest is not None  # a step without a parent is a snapshot
    path = store.object(step.payload)
    with durable.disk_errors(path):
        payload = open_payload(path.read_bytes(), table, step.from_digest)
    if payload.kind != step.kind:
        raise PayloadError(f"the payload is a {payload.kind} diff, its manifest says {step.kind}")
    return payload


def _require_diffs_smaller(steps: Sequence[Leg], whole: int) -> None:
    """Refuse diffs that are longer than what they change, for a payload is held in memory."""
    for step in steps:
        if step.kind != "snapshot" and step.payload.length > whole + PAYLOAD_ALLOWANCE:
            raise PayloadError(f"a diff of {step.payload.length:,} bytes for a version of {whole:,}: send a snapshot")


def _slot_bytes(store: Store, steps: Sequence[Leg]) -> int:
    """Return the bytes of the new slot: as many as those of what the chain starts from."""
    if not steps:
        return 0
    first = steps[0]
    return first.payload.length if first.from_digest is None else durable.size(store.weights(first.from_digest))
