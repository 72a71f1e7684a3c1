"""The updater: from a poll to a version in use, in eleven steps, none of which can lose what runs now.

Every failure is an UpdateFailed that names its stage and cause; it is reported, and the next update goes on
with whatever has arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from diffclient import durable
from diffclient.diff.apply import apply
from diffclient.errors import (
    DiffClientError,
    DigestMismatch,
    InternalError,
    Stopped,
    UpdateFailed,
)
from diffclient.measure import probation
from diffclient.measure.error_count import Errors
from diffclient.network.device_api import Service
from diffclient.network.fetch import Fetcher
from diffclient.network.messages import Answer
from diffclient.network.report import Report, Stage
from diffclient.release.manifest import Manifest
from diffclient.store import deliveries
from diffclient.store.policy import Policy
from diffclient.store.state import Installed, State, objects
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot
from diffclient.trust.verified_metadata import Trust
from diffclient.update import fetch_and_decode, other_way, record_outcome, route, tell_field
from diffclient.update.outcome import Action, Attempt, Outcome
from diffclient.update.route import Route


class Updater:
    """Brings one store to the version that its server assigns to it, as far as signed metadata covers it.

    `trust` makes the metadata ready for one refresh; `metered` tells whether this link is; `score` measures a
    version on its probe set; `on_stage` hears of each step before it begins, and may raise Stopped to end there;
    `field_spacing` is the least number of seconds between reports of errors that were counted in the field.
    """

    def __init__(
        self,
        store: Store,
        service: Service,
        fetcher: Fetcher,
        trust: Callable[[], Trust],
        policy: Policy = Policy(),  # noqa: B008  # frozen
        metered: Callable[[], bool] = lambda: False,
        score: probation.Score = probation.score_speech,
        on_stage: Callable[[Stage], None] = lambda _stage: None,
        field_spacing: float = tell_field.SPACING,
    ) -> None:
        self._store = store
        self._service = service
        self._fetcher = fetcher
        self._trust = trust
        self._policy = policy
        self._metered = metered
        self._score = score
        self._on_stage = on_stage
        self._field_spacing = field_spacing

    def update(self, *, force: bool = False) -> Outcome:
        """Poll once and install what the server assigns.

        A damaged version is fetched afresh. `force` installs even what was rolled back from or failed probation.
        Raises UpdateFailed, Stopped, StoreBusy, StateError.
        """
        with self._store.locked():
            attempt = Attempt(self._store.state(), self._fetcher.received)
            try:
                return self._update(attempt, force)
            except Stopped:
                raise
            except Exception as error:
                cause = error if isinstance(error, DiffClientError) else InternalError(error)
                record_outcome.remember(self._store, self._service, attempt, cause, self._fetcher.received)
                raise UpdateFailed(attempt.stage, cause, attempt.why_this_way) from error

    def rollback(self) -> Installed:
        """Return to the version kept, by one rename, and hold back the one left until the target changes.

        Raises NothingKept, DigestMismatch, StoreError, StateError.
        """
        with self._store.locked():
            before = self._store.state()
            version, after = self._store.rolled_back(before)
            after = after.with_report(Report.new("rolled_back", before.digest, version.digest))
            self._store.save(after)
            record_outcome.tell(self._store, self._service, after)
        return version

    def _update(self, attempt: Attempt, force: bool) -> Outcome:
        # 1. Poll: say which versions are here, hear which one should run.
        self._enter(attempt, "poll")
        damage = self._damage(attempt.state)
        digest = None if damage else attempt.state.digest
        attempt.holding = replace(attempt.holding, digest=digest)
        metered = self._metered()
        answer = self._service.poll(attempt.holding, full_fallback=self._policy.allows_snapshot(metered))
        self._hear(attempt, answer)

        # 2. Refresh the metadata, whatever the answer: that there is nothing new has to be fresh as well. Where the
        # answer says that what is here stands, and it has not expired, this makes no request.
        self._enter(attempt, "trust")
        trust = self._trust()
        trust.refresh(answer.metadata)
        attempt.metadata_bytes = trust.received
        if answer.digest == digest or not (answer.steps or route.kept(self._store, answer)):
            return self._rest(attempt, answer, "withheld" if answer.withheld else "none", damage)
        if answer.digest == attempt.state.held_back and not force:
            return self._rest(attempt, answer, "held_back", damage)

        # 3. Look the steps up in it: they must lead from here to the target, and not backwards.
        self._enter(attempt, "chain")
        way = route.lead(self._store, trust, answer, digest, self._service.model)
        attempt.metadata_bytes, attempt.basis = trust.received, probation.basis(way.target, self._score)
        self._store.sweep(fetch_and_decode.wanted(way))
        if attempt.state.verdict(way.target.to_digest, attempt.basis) and not force:
            return self._rest(attempt, answer, "unfit", damage)
        if way.is_whole and attempt.falls_back and not self._may_fall_back(attempt, way, force):
            return self._rest(attempt, answer, "delivered", damage)

        # 4. to 8. Make the new version, by another way where this one is damaged.
        target = self._make_somehow(attempt, trust, way, metered, force)

        # 9. Probation: the new version measures itself.
        self._enter(attempt, "probation")
        version, after = self._measure(attempt, target)

        # 10. Switch, by one rename. The report is part of it, so a power cut cannot lose it.
        self._enter(attempt, "switch")
        report = attempt.installed(version, self._fetcher.received)
        after = after.with_report(report)
        self._store.save(after)

        # 11. Say what runs now, report, and clear away what is needed no more.
        self._enter(attempt, "report")
        record_outcome.tell(self._store, self._service, after)
        return attempt.outcome(answer, report, target)

    def _make_somehow(self, attempt: Attempt, trust: Trust, way: Route, metered: bool, force: bool) -> Manifest:
        """Make the target by this way or, as long as steps turn out to be damaged, by one that leaves them out.

        Returns the manifest of the last step taken.
        """
        left_out: tuple[str, ...] = ()
        holding, model = attempt.holding, self._service.model
        welcome = self._policy.allows_snapshot(metered) and self._may_fall_back(attempt, way, force)
        while True:
            try:
                self._make(attempt, way, metered)
                return way.target
            except DiffClientError as error:
                failed = other_way.suspects(self._store, way, attempt, error)
                left_out += failed
                answer = other_way.ask(self._service, way, holding, left_out, welcome) if failed else None
                if answer is None:
                    raise
                attempt.turn(error)
                self._enter(attempt, "chain")
                way = route.lead(self._store, trust, answer, holding.digest, model)

    def _make(self, attempt: Attempt, way: Route, metered: bool) -> None:
        # 4. Ask the policy, before a byte of them is fetched.
        self._enter(attempt, "policy")
        target = way.target
        held = not way.legs or self._store.holds(target.to_digest)
        legs = () if held else way.legs
        missing = fetch_and_decode.missing(self._store, legs, objects(target))
        self._policy.check([leg.kind for leg in legs], fetch_and_decode.cost(self._fetcher, missing), metered)

        # 5. Download what is missing; what arrives is kept, whatever happens next. From here on it may take long.
        self._enter(attempt, "download")
        self._service.tell(replace(attempt.holding, stage="download"))
        attempt.count(fetch_and_decode.download(self._store, self._fetcher, legs, missing), target)
        if attempt.falls_back and any(leg.kind == "snapshot" and leg.payload in missing for leg in legs):
            record_outcome.deliver(self._store, attempt, target.to_digest)
        if held:
            return

        # 6. Decode every payload against its parent's table.
        self._enter(attempt, "decode")
        began = time.monotonic()
        parent, chain = fetch_and_decode.decode(self._store, legs)

        # 7. Apply the chain in one pass into a new slot, beside the one in use.
        self._enter(attempt, "apply")
        draft = self._store.draft()
        with durable.disk_errors(draft, durable.size(parent.path)):
            apply(parent, chain, draft)

        # 8. Read it back from the disk to its digest: every byte must be the server's.
        self._enter(attempt, "digest")
        self._store.keep(target.to_digest)
        attempt.seconds_apply = time.monotonic() - began

    def _may_fall_back(self, attempt: Attempt, way: Route, force: bool) -> bool:
        """Tell whether the target may be fetched whole now although something should have led there otherwise."""
        before = deliveries.find(attempt.state.deliveries, way.target.to_digest)
        if force or before is None or before.waits(time.time(), self._policy.max_deliveries) <= 0:
            return True
        return way.whole is not None and self._store.has(way.whole)

    def _enter(self, attempt: Attempt, stage: Stage) -> None:
        attempt.stage = stage
        self._on_stage(stage)

    def _damage(self, state: State) -> DigestMismatch | None:
        """Read every byte of the version in use, which is to be built upon; return what is damaged in it."""
        try:
            if state.current:
                self._store.verify(state.current)
        except DigestMismatch as damage:
            return damage
        return None

    def _rest(self, attempt: Attempt, answer: Answer, action: Action, damage: DigestMismatch | None) -> Outcome:
        """Install nothing; raises DigestMismatch if the version in use is damaged and nothing comes in its place."""
        if damage:
            raise damage
        return record_outcome.rest(self._store, attempt, answer, action)

    def _hear(self, attempt: Attempt, answer: Answer) -> None:
        """Take note of a server that answers: it gets reports that waited, and its target may have moved on."""
        attempt.target = answer.digest
        state = tell_field.gather(self._store, attempt.state, self._field_spacing)
        held_back = state.held_back if state.held_back == answer.digest else None
        attempt.state = replace(state, held_back=held_back, outbox=self._service.deliver(state.outbox))

    def _measure(self, attempt: Attempt, target: Manifest) -> tuple[Installed, State]:
        """Return the new version as measured and the state with it in use; raises ProbationFailed."""
        weights = Snapshot(self._store.weights(target.to_digest))
        parts = [self._store.object(probe.blob) for probe in target.probes]
        if not parts:  # a model that is delivered only: its digest is what is known of it
            return self._in_use(attempt, target, None)
        try:
            attempt.measured = probation.run(self._score, self._store.object(target.graph), weights, parts)
        finally:
            self._on_stage("probation")  # a model's code that took the end of its time for its own is not believed
        return self._in_use(attempt, target, probation.check(target, attempt.measured))

    def _in_use(self, attempt: Attempt, target: Manifest, drift: int | None) -> tuple[Installed, State]:
        """Return the new version with what was measured, and the state with it in use."""
        before = attempt.state
        version = Installed(target, sum(attempt.measured, Errors(0, 0)), drift)
        # A version that was fetched afresh takes its own place, not that of the one before it.
        previous = before.previous if before.digest == version.digest else before.current
        unfit = tuple(failed for failed in before.unfit if failed.digest != version.digest)
        return version, replace(before, current=version, previous=previous, held_back=None, failure=None, unfit=unfit)
