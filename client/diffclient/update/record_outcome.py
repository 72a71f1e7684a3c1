"""The record of an update, on the device and at the server, however it ended; nothing here decides how it ends."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from diffclient.errors import DiffClientError, NetworkError, StoreError
from diffclient.network.device_api import Service
from diffclient.network.messages import Answer
from diffclient.store import deliveries
from diffclient.store.state import State, Unfit
from diffclient.store.store import Store
from diffclient.update.outcome import Action, Attempt, Outcome


def rest(store: Store, attempt: Attempt, answer: Answer, action: Action) -> Outcome:
    """Install nothing; the last failure is history, unless it is why."""
    state = attempt.state if action in ("unfit", "delivered") else replace(attempt.state, failure=None)
    if state != store.state():
        store.save(state)
    if action == "none":
        store.sweep(())
    basis = (answer.version, answer.digest, state.digest, answer.poll_seconds)
    return Outcome(action, *basis, metadata_bytes=attempt.metadata_bytes)


def remember(store: Store, service: Service, attempt: Attempt, error: DiffClientError, received: int) -> None:
    """Record an error and report it to the server, unless the server could not be reached.

    A version that failed probation is kept in mind beyond the next update.
    """
    failure = attempt.failure(error)
    state = replace(attempt.state, failure=failure)
    if failure.cause == "version" and attempt.stage == "probation" and attempt.target and attempt.basis:
        state = state.with_unfit(Unfit(attempt.target, attempt.basis, failure.reason))
    if attempt.stage not in ("poll", "trust") or not isinstance(error, NetworkError):
        state = state.with_report(attempt.failed(failure, received))
        state = replace(state, outbox=service.deliver(state.outbox))
    with contextlib.suppress(StoreError):  # of a full disk, say; the first error is the one to raise
        store.save(state)


def deliver(store: Store, attempt: Attempt, digest: str) -> None:
    """Count one more delivery of a whole version as a fallback, before anything is made of it."""
    attempt.state = replace(attempt.state, deliveries=deliveries.counted(attempt.state.deliveries, digest, time.time()))
    store.save(attempt.state)


def tell(store: Store, service: Service, state: State) -> None:
    """Say what runs now, deliver what is in the outbox and sweep, as far as can be now; the switch stands anyway."""
    with contextlib.suppress(StoreError):
        remaining = service.deliver(state.outbox) if service.tell(state.holding) else state.outbox
        store.sweep(())
        store.save(replace(state, outbox=remaining))
