"""The updater: from a poll to a version in use, in nine steps, none of which can lose what runs now.

Every failure is an UpdateFailed that names its stage and cause; it is reported, and the next update goes on
with whatever has arrived.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from diffclient import assembly, durable, probation
from diffclient.apply import apply
from diffclient.errors import (
    DiffClientError,
    DigestMismatch,
    NetworkError,
    Stopped,
    StoreError,
    UpdateFailed,
)
from diffclient.fetch import Fetcher
from diffclient.manifest import Manifest
from diffclient.outcome import Action, Attempt, Outcome, Stage
from diffclient.service import Service
from diffclient.state import Installed, State, objects
from diffclient.store import Store
from diffclient.weights import Snapshot
from diffclient.wer import Errors
from diffclient.wire import Answer, Report, check_chain


class Updater:
    """Brings one store to the version that its server assigns to it.

    `score` measures a version on its probe set; `on_stage` hears of each step before it begins, and may raise
    Stopped to end cleanly there.
    """

    def __init__(
        self,
        store: Store,
        service: Service,
        fetcher: Fetcher,
        score: probation.Score = probation.score_speech,
        on_stage: Callable[[Stage], None] = lambda _stage: None,
    ) -> None:
        self._store = store
        self._service = service
        self._fetcher = fetcher
        self._score = score
        self._on_stage = on_stage

    def update(self, *, force: bool = False) -> Outcome:
        """Poll once and install what the server assigns.

        `force` installs even what was rolled back from, and fetches a damaged version afresh. Raises
        UpdateFailed, Stopped, StoreBusy, StateError.
        """
        with self._store.locked():
            attempt = Attempt(self._store.state(), self._fetcher.received)
            try:
                return self._update(attempt, force)
            except Stopped:
                raise
            except DiffClientError as error:
                self._remember(attempt, error)
                raise UpdateFailed(attempt.stage, error) from error

    def rollback(self) -> Installed:
        """Return to the version kept, by one rename, and hold back the one left until the target changes.

        Raises NothingKept, DigestMismatch, StoreError, StateError.
        """
        with self._store.locked():
            before = self._store.state()
            version, after = self._store.rolled_back(before)
            after = after.telling(Report("rolled_back", before.digest, version.digest))
            self._store.save(after)
            self._tell(after)
        return version

    def _update(self, attempt: Attempt, force: bool) -> Outcome:
        # 1. Poll: say which version runs here, hear which one should.
        self._enter(attempt, "poll")
        digest = attempt.state.digest if self._sound(attempt.state, force) else None
        answer = self._service.poll(digest)
        self._hear(attempt, answer)
        if not answer.steps or answer.digest == digest:
            return self._rest("none", attempt, answer)
        if answer.digest == attempt.state.held_back and not force:
            return self._rest("held_back", attempt, answer)

        # 2. Check that the steps lead from here to the target, before a byte of them is fetched.
        self._enter(attempt, "chain")
        check_chain(answer, digest, self._service.model)
        target = answer.steps[-1]
        held = self._store.holds(target.to_digest)

        # 3. Download what is missing; what arrives is kept, whatever happens next.
        self._enter(attempt, "download")
        steps = () if held else answer.steps
        attempt.payload_bytes = assembly.download(self._store, self._fetcher, steps, objects(target))

        if not held:
            # 4. Decode every payload against its parent's table.
            self._enter(attempt, "decode")
            began = time.monotonic()
            parent, chain = assembly.decode(self._store, answer.steps)

            # 5. Apply the chain in one pass into a new slot, beside the one in use.
            self._enter(attempt, "apply")
            draft = self._store.draft()
            with durable.disk_errors(draft, durable.size(parent.path)):
                apply(parent, chain, draft)

            # 6. Read it back from the disk to its digest: every byte must be the server's.
            self._enter(attempt, "digest")
            self._store.keep(target.to_digest)
            attempt.seconds_apply = time.monotonic() - began

        # 7. Probation: the new version measures itself.
        self._enter(attempt, "probation")
        version, after = self._measure(attempt, target)

        # 8. Switch, by one rename. The report is part of it, so a power cut cannot lose it.
        self._enter(attempt, "switch")
        report = attempt.installed(version, self._fetcher.received)
        after = after.telling(report)
        self._store.save(after)

        # 9. Report, and clear away what is needed no more.
        self._enter(attempt, "report")
        self._tell(after)
        return attempt.outcome(answer, report)

    def _enter(self, attempt: Attempt, stage: Stage) -> None:
        attempt.stage = stage
        self._on_stage(stage)

    def _sound(self, state: State, force: bool) -> bool:
        """Tell whether the version in use can be built upon; looked into when forced, for it takes time."""
        with contextlib.suppress(DigestMismatch):
            if force and state.current:
                self._store.verify(state.current)
            return True
        return False

    def _hear(self, attempt: Attempt, answer: Answer) -> None:
        """Take note of a server that answers: it gets old reports, and its target may have moved on."""
        attempt.target = answer.digest
        state = attempt.state
        held_back = state.held_back if state.held_back == answer.digest else None
        attempt.state = replace(state, held_back=held_back, outbox=self._service.deliver(state.outbox))
        self._store.sweep(assembly.wanted(answer.steps))

    def _rest(self, action: Action, attempt: Attempt, answer: Answer) -> Outcome:
        """Install nothing; the last failure is history."""
        state = replace(attempt.state, failure=None)
        if state != self._store.state():
            self._store.save(state)
        return Outcome(action, answer.version, answer.digest, state.digest, answer.poll_seconds)

    def _measure(self, attempt: Attempt, target: Manifest) -> tuple[Installed, State]:
        """Return the new version as measured and the state with it in use; raises ProbationFailed."""
        before = attempt.state
        weights = Snapshot(self._store.weights(target.to_digest))
        parts = [self._store.object(probe.blob) for probe in target.probes]
        attempt.measured = probation.run(self._score, self._store.object(target.graph), weights, parts)
        drift = probation.check(target, attempt.measured)
        version = Installed(target, sum(attempt.measured, Errors(0, 0)), drift)
        # A version that was fetched afresh takes its own place, not that of the one before it.
        previous = before.previous if before.digest == version.digest else before.current
        return version, State(version, previous, outbox=before.outbox)

    def _remember(self, attempt: Attempt, error: DiffClientError) -> None:
        """Keep what went wrong and tell the server, unless it is the server that could not be asked."""
        state = replace(attempt.state, failure=attempt.failure(error))
        if attempt.stage != "poll" or not isinstance(error, NetworkError):
            state = state.telling(attempt.failed(error, self._fetcher.received))
            state = replace(state, outbox=self._service.deliver(state.outbox))
        with contextlib.suppress(StoreError):  # of a full disk, say; the first error is the one to raise
            self._store.save(state)

    def _tell(self, state: State) -> None:
        """Deliver what is in the outbox and sweep, as far as can be now; the switch stands anyway."""
        with contextlib.suppress(StoreError):
            remaining = self._service.deliver(state.outbox)
            self._store.sweep(())
            self._store.save(replace(state, outbox=remaining))
