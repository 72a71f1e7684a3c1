"""One update as it is told: while it is under way, to whoever asked for it, and to the server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from diffclient.errors import DiffClientError
from diffclient.measure.error_count import Errors
from diffclient.network.messages import Answer
from diffclient.network.report import Report, ReportStage
from diffclient.plain_text import plain
from diffclient.release.manifest import Blob, Manifest
from diffclient.release.metric import Metric
from diffclient.store.state import Failure, Installed, State, objects

Stage = Literal[
    "poll", "trust", "chain", "policy", "download", "decode", "apply", "digest", "probation", "switch", "report"
]
Action = Literal["none", "held_back", "unfit", "withheld", "installed"]

_REASON_LIMIT = 500


@dataclass(frozen=True)
class Outcome:
    """The outcome of an update; the figures are those of the version installed, None where none was."""

    action: Action
    """`held_back`: the target is what someone rolled back from; `unfit`: it failed probation here, and nothing
    changed since; `withheld`: only a snapshot leads to it, which the policy does not allow on this link."""
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

    def count(self, received: Mapping[Blob, int], target: Manifest) -> None:
        """Count the bytes received of the blobs that make a version, and of its probe set."""
        self.payload_bytes += sum(count for blob, count in received.items() if blob not in objects(target))
        self.probe_bytes += sum(received.get(blob, 0) for blob in {probe.blob for probe in target.probes})

    def failure(self, error: DiffClientError) -> Failure:
        """Return what to remember of an update that failed."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        reason = (str(error) or type(error).__name__) + self.why_this_way
        return Failure(self.stage, plain(reason, _REASON_LIMIT), self.target, now)

    @property
    def why_this_way(self) -> str:
        """What failed before this way was taken, as the end of a message; empty where nothing did."""
        before = self.detour
        return f"; tried since another way failed at stage {before.stage}: {before.reason}" if before else ""

    def turn(self, error: DiffClientError) -> None:
        """Take another way after a failure."""
        self.detour = self.detour or self.failure(error)

    def failed(self, error: DiffClientError, received: int) -> Report:
        """Return the report of a failure."""
        failure = self.failure(error)
        return self._report("failed", received, failed_stage=failure.stage, reason=failure.reason)

    def installed(self, version: Installed, received: int) -> Report:
        """Return the report of a success, with what failed before another way led there."""
        stage, reason = (self.detour.stage, self.detour.reason) if self.detour else (None, None)
        return self._report("installed", received, drift_ppm=version.drift_ppm, failed_stage=stage, reason=reason)

    def _report(self, stage: ReportStage, received: int, **more: Any) -> Report:
        total = sum(self.measured, Errors(0, 0))
        known = total.total > 0
        return Report(
            stage,
            self.state.digest,
            self.target,
            errors=total.errors if known else None,
            total=total.total if known else None,
            error_rate_ppm=total.error_rate_ppm if known else None,
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
