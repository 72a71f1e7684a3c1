"""One update as it is told: while it is under way, to whoever asked for it, and to the server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from diffclient.errors import DiffClientError
from diffclient.measure.error_count import Errors
from diffclient.network.holding import Holding
from diffclient.network.messages import Answer
from diffclient.network.report import Report, ReportStage, Stage
from diffclient.plain_text import plain
from diffclient.release.manifest import Blob, Manifest
from diffclient.release.metric import Metric
from diffclient.store import deliveries
from diffclient.store.state import Failure, Installed, State, objects
from diffclient.update.cause import cause_of

Action = Literal["none", "held_back", "unfit", "delivered", "withheld", "installed"]

_REASON_LIMIT = 500


@dataclass(frozen=True)
class Outcome:
    """The outcome of an update; the figures are those of the version installed, None where none was."""

    action: Action
    """`held_back`: the target is what someone rolled back from; `unfit`: it failed probation here, and nothing
    changed since; `delivered`: it was fetched whole before, for nothing, and may not be again yet; `withheld`: only a
    snapshot leads to it, which the policy does not allow on this link."""
    version: int | None
    digest: str | None
    from_digest: str | None
    poll_seconds: int
    metric: Metric | None = None
    errors: int | None = None
    total: int | None = None
    error_rate_ppm: int | None = None
    expected_error_rate_ppm: int | None = None
    drift_ppm: int | None = None
    payload_bytes: int = 0
    """Bytes received of payloads."""
    probe_bytes: int = 0
    """Bytes received of the probe set: parts that were here already are not fetched again."""
    downloaded_bytes: int = 0
    """Bytes received of payloads, graph and probe set."""
    metadata_bytes: int = 0
    """Bytes received of signed metadata, which are in none of the others."""
    seconds_apply: float | None = None
    """Seconds for decoding, applying and reading back."""
    seconds_total: float | None = None
    detour: str | None = None
    """Where another way to the version failed first, and why; None where the first one led there."""

    @property
    def fetched_bytes(self) -> int:
        """All that was fetched, in bytes."""
        return self.downloaded_bytes + self.metadata_bytes

    @property
    def graph_bytes(self) -> int:
        """Bytes received of the graph."""
        return self.downloaded_bytes - self.payload_bytes - self.probe_bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"graph_bytes": self.graph_bytes, "fetched_bytes": self.fetched_bytes}


@dataclass
class Attempt:
    """One update under way, from the state that it found: all that its report will say, however it ends."""

    state: State
    received_before: int
    holding: Holding = field(init=False)
    """What the server is told: no digest where the version in use is damaged."""
    started: float = field(default_factory=time.monotonic)
    stage: Stage = "poll"
    target: str | None = None
    basis: str | None = None
    """What the verdict on the target depends on, once its manifest is known."""
    payload_bytes: int = 0
    probe_bytes: int = 0
    metadata_bytes: int = 0
    seconds_apply: float | None = None
    measured: tuple[Errors, ...] = ()
    detour: Failure | None = None
    """How the first way to the target failed, if another one is tried."""

    def __post_init__(self) -> None:
        """Suppose that all is sound."""
        self.holding = self.state.holding

    @property
    def falls_back(self) -> bool:
        """Whether something sound should have led to the target without a whole delivery, or with the one before."""
        damaged = self.state.digest is not None and self.holding.digest is None
        before = self.state.failure
        return bool(damaged or self.detour or (before and before.digest == self.target and not before.passes))

    def count(self, received: Mapping[Blob, int], target: Manifest) -> None:
        """Count the bytes received of the blobs that make a version, and of its probe set."""
        self.payload_bytes += sum(count for blob, count in received.items() if blob not in objects(target))
        self.probe_bytes += sum(received.get(blob, 0) for blob in {probe.blob for probe in target.probes})

    def failure(self, error: DiffClientError) -> Failure:
        """Return what to remember of an update that failed."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        reason = (str(error) or type(error).__name__) + self.why_this_way
        return Failure(self.stage, plain(reason, _REASON_LIMIT), self.target, now, cause_of(error, self.stage))

    @property
    def why_this_way(self) -> str:
        """What failed before this way was taken, as the end of a message; empty where nothing did."""
        before = self.detour
        return f"; tried since another way failed at stage {before.stage}: {before.reason}" if before else ""

    def turn(self, error: DiffClientError) -> None:
        """Take another way after a failure."""
        self.detour = self.detour or self.failure(error)

    def failed(self, failure: Failure, received: int) -> Report:
        """Return the report of a failure: postponed is what neither the version nor this device is to blame for."""
        return self._report("postponed" if failure.passes else "failed", failure, received)

    def installed(self, version: Installed, received: int) -> Report:
        """Return the report of a success, with what failed before another way led there."""
        return self._report("installed", self.detour, received, drift_ppm=version.drift_ppm)

    def _report(self, stage: ReportStage, failure: Failure | None, received: int, **more: Any) -> Report:
        total = sum(self.measured, Errors(0, 0))
        known, delivered = total.total > 0, deliveries.find(self.state.deliveries, self.target)
        return Report.new(
            stage,
            self.state.digest,
            self.target,
            failed_stage=failure and failure.stage,
            reason=failure and failure.reason,
            cause=failure and failure.cause,
            errors=total.errors if known else None,
            total=total.total if known else None,
            error_rate_ppm=total.error_rate_ppm if known else None,
            full_deliveries=delivered and delivered.times,
            downloaded_bytes=received - self.received_before,
            seconds_apply=self.seconds_apply,
            seconds_total=time.monotonic() - self.started,
            **more,
        )

    def outcome(self, answer: Answer, report: Report, target: Manifest) -> Outcome:
        """Return the outcome of an update that installed the target and was reported so."""
        reported = {name: value for name, value in report.to_json().items() if name in Outcome.__annotations__}
        return Outcome(
            "installed",
            answer.version,
            answer.digest,
            poll_seconds=answer.poll_seconds,
            metric=target.metric,
            expected_error_rate_ppm=target.error_rate_ppm,
            payload_bytes=self.payload_bytes,
            probe_bytes=self.probe_bytes,
            metadata_bytes=self.metadata_bytes,
            detour=f"{self.detour.stage}: {self.detour.reason}" if self.detour else None,
            **reported,
        )
