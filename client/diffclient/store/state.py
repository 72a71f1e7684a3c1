"""The state of a device: the version in use, the one kept, and reports to deliver.

Values and their JSON only; keeping them in a file is left to `store`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from diffclient import bounds
from diffclient.errors import ManifestError, StateError
from diffclient.measure.error_count import Errors
from diffclient.network.holding import Holding
from diffclient.network.messages import Enrolment
from diffclient.network.report import Cause, Report
from diffclient.release.manifest import Blob, Manifest, from_json
from diffclient.store.deliveries import VERSIONS_LIMIT, Delivery
from diffclient.strict_json import Fields, parse

FORMAT = 1
OUTBOX_LIMIT = 20
"""Reports kept for a server that cannot be reached; the oldest of updates are dropped."""
UNFIT_LIMIT = 20
"""Versions remembered that failed probation; the oldest are dropped."""


@dataclass(frozen=True)
class Installed:
    """A version in a slot: its manifest, and its word errors measured here on its probe set."""

    manifest: Manifest
    measured: Errors
    drift_ppm: int | None
    """The error rate on the first probe minus version 0's; None where there is no probe set."""

    @property
    def digest(self) -> str:
        """The version's digest."""
        return self.manifest.to_digest

    @property
    def error_rate_ppm(self) -> int | None:
        """The error rate as measured, in parts per million; None where there is no probe set."""
        return self.measured.error_rate_ppm if self.measured.total else None


@dataclass(frozen=True)
class Failure:
    """The last update that failed; `at` in ISO 8601, UTC."""

    stage: str
    reason: str
    digest: str | None
    at: str
    cause: Cause | None = None
    """What is at fault; None where an earlier client wrote this."""

    @property
    def passes(self) -> bool:
        """Whether neither the version nor this device is to blame."""
        return self.cause in ("network", "server")


@dataclass(frozen=True)
class Unfit:
    """A version that failed probation here, why, and a digest of all that the verdict depends on."""

    digest: str
    basis: str
    reason: str


@dataclass(frozen=True)
class State:
    """Everything that changes together when a device moves from one version to another."""

    current: Installed | None = None
    previous: Installed | None = None
    held_back: str | None = None
    """The digest that someone rolled back from: not installed again unless forced."""
    failure: Failure | None = None
    outbox: tuple[Report, ...] = ()
    unfit: tuple[Unfit, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    field_at: int | None = None
    """When the last report of errors in the field was made, in seconds since 1970."""

    @property
    def digest(self) -> str | None:
        """The digest of the version in use."""
        return self.current.digest if self.current else None

    @property
    def holding(self) -> Holding:
        """The versions that have a slot, as the server is told of them."""
        return Holding(self.digest, self.previous.digest if self.previous else None)

    @property
    def kept(self) -> tuple[Installed, ...]:
        """The versions that have a slot."""
        return tuple(version for version in (self.current, self.previous) if version)

    def with_report(self, report: Report) -> State:
        """Return the state with one more report to deliver; of updates that were postponed, the last says it all."""
        others = [other for other in self.outbox if not other.stage == report.stage == "postponed"]
        return replace(self, outbox=_within_limit((*others, report)))

    def with_unfit(self, verdict: Unfit) -> State:
        """Return the state with one more version that is not to be tried again until its basis changes."""
        others = [other for other in self.unfit if other.digest != verdict.digest]
        return replace(self, unfit=(*others, verdict)[-UNFIT_LIMIT:])

    def verdict(self, digest: str, basis: str) -> Unfit | None:
        """Return why a version failed, if it was tried on this basis; None otherwise."""
        return next((unfit for unfit in self.unfit if (unfit.digest, unfit.basis) == (digest, basis)), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        # Through the manifest's own spelling, which is what `from_json` reads.
        versions = {"current": _version_json(self.current), "previous": _version_json(self.previous)}
        return {"format": FORMAT} | asdict(self) | versions


def _within_limit(reports: tuple[Report, ...]) -> tuple[Report, ...]:
    """Leave out the oldest reports of updates: what was counted in the field stands nowhere else any more."""
    of_updates = [report for report in reports if report.stage != "field"]
    surplus = of_updates[: max(0, len(reports) - OUTBOX_LIMIT)]
    return tuple(report for report in reports if report not in surplus)


def objects(manifest: Manifest) -> tuple[Blob, ...]:
    """Return the blobs that a version needs besides its weights: the graph and the parts of its probe set."""
    return (manifest.graph, *(probe.blob for probe in manifest.probes))


def read_state(data: bytes) -> State:
    """Parse a state; raises StateError."""
    fields = parse(data, "state.json", StateError)
    if fields.count("format") != FORMAT:
        raise StateError("state.json was written by another version of this client: use that one")
    return State(
        current=fields.maybe("current", lambda name: _version(fields.inside(name))),
        previous=fields.maybe("previous", lambda name: _version(fields.inside(name))),
        held_back=fields.maybe("held_back", fields.digest),
        failure=fields.maybe("failure", lambda name: _failure(fields.inside(name))),
        outbox=tuple(bounds.read(Report, item) for item in fields.objects("outbox", OUTBOX_LIMIT)),
        unfit=fields.maybe("unfit", lambda name: _verdicts(fields, name)) or (),
        deliveries=fields.maybe("deliveries", lambda name: _deliveries(fields, name)) or (),
        field_at=fields.maybe("field_at", fields.count),
    )


def read_kept_enrolment(data: bytes) -> Enrolment:
    """Parse an enrolment; raises StateError."""
    fields = parse(data, "enrolment.json", StateError)
    return Enrolment(**{name: fields.text(name) for name in Enrolment.__annotations__})


def _version_json(version: Installed | None) -> dict[str, Any] | None:
    return None if version is None else asdict(version) | {"manifest": version.manifest.to_json()}


def _version(fields: Fields) -> Installed:
    try:
        manifest = from_json(fields.values.get("manifest"))
    except ManifestError as error:
        raise StateError(f"{fields.what}: {error}") from error
    return Installed(manifest, _measured(fields), fields.maybe("drift_ppm", fields.whole))


def _measured(fields: Fields) -> Errors:
    inner = fields.inside("measured")
    return Errors(inner.count("errors"), inner.count("total"))


def _verdicts(fields: Fields, name: str) -> tuple[Unfit, ...]:
    return tuple(
        Unfit(item.digest("digest"), item.digest("basis"), item.text("reason"))
        for item in fields.objects(name, UNFIT_LIMIT)
    )


def _deliveries(fields: Fields, name: str) -> tuple[Delivery, ...]:
    return tuple(
        Delivery(item.digest("digest"), item.count("times"), item.count("at"))
        for item in fields.objects(name, VERSIONS_LIMIT)
    )


def _failure(fields: Fields) -> Failure:
    return Failure(
        fields.text("stage"),
        fields.text("reason"),
        fields.maybe("digest", fields.digest),
        fields.text("at"),
        fields.maybe("cause", lambda name: fields.choice(name, get_args(Cause))),
    )
