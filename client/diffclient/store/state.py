"""What a device remembers: the version in use, the one kept, what it has yet to tell.

Values and their JSON only; `store` keeps them in a file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from diffclient import bounds
from diffclient.errors import ManifestError, StateError
from diffclient.measure.error_count import Errors
from diffclient.network.messages import Enrolment
from diffclient.network.report import Report
from diffclient.release.manifest import Blob, Manifest, from_json
from diffclient.strict_json import Fields, fields_of, parse

FORMAT = 1
OUTBOX_LIMIT = 20
"""Reports kept for a server that cannot be reached; the oldest give way."""
UNFIT_LIMIT = 20
"""Versions remembered that failed probation; the oldest give way."""


@dataclass(frozen=True)
class Installed:
    """A version in a slot: the manifest that led to it, and what it measured here on its probe set."""

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

    @property
    def digest(self) -> str | None:
        """The digest of the version in use."""
        return self.current.digest if self.current else None

    @property
    def kept(self) -> tuple[Installed, ...]:
        """The versions that have a slot."""
        return tuple(version for version in (self.current, self.previous) if version)

    def telling(self, report: Report) -> State:
        """Return the state with one more report to deliver."""
        return replace(self, outbox=(*self.outbox, report)[-OUTBOX_LIMIT:])

    def failing(self, verdict: Unfit) -> State:
        """Return the state with one more version that is not to be tried again until its basis changes."""
        others = [other for other in self.unfit if other.digest != verdict.digest]
        return replace(self, unfit=(*others, verdict)[-UNFIT_LIMIT:])

    def verdict(self, digest: str, basis: str) -> Unfit | None:
        """Return why a version failed, if it was tried and all that it depended on is as it was."""
        return next((found for found in self.unfit if (found.digest, found.basis) == (digest, basis)), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        # Through the manifest's own spelling, which is what `from_json` reads.
        versions = {"current": _version_json(self.current), "previous": _version_json(self.previous)}
        return {"format": FORMAT} | asdict(self) | versions


def objects(manifest: Manifest) -> tuple[Blob, ...]:
    """Return the blobs that a version needs beside its weights: the graph and the parts of its probe set."""
    return (manifest.graph, *(probe.blob for probe in manifest.probes))


def read_state(data: bytes) -> State:
    """Read a state back; raises StateError."""
    fields = parse(data, "state.json", StateError)
    if fields.count("format") != FORMAT:
        raise StateError("state.json was written by another version of this client: use that one")
    return State(
        current=fields.maybe("current", lambda name: _version(_inside(fields, name))),
        previous=fields.maybe("previous", lambda name: _version(_inside(fields, name))),
        held_back=fields.maybe("held_back", fields.digest),
        failure=fields.maybe("failure", lambda name: _failure(_inside(fields, name))),
        outbox=tuple(
            bounds.read(Report, fields_of(item, "state.json: outbox", StateError))
            for item in fields.items("outbox", OUTBOX_LIMIT)
        ),
        unfit=fields.maybe("unfit", lambda name: _verdicts(fields, name)) or (),
    )


def read_kept_enrolment(data: bytes) -> Enrolment:
    """Read the enrolment back; raises StateError."""
    fields = parse(data, "enrolment.json", StateError)
    return Enrolment(**{name: fields.text(name) for name in Enrolment.__annotations__})


def _inside(fields: Fields, name: str) -> Fields:
    return fields_of(fields.values.get(name), f"{fields.what}: {name}", StateError)


def _version_json(version: Installed | None) -> dict[str, Any] | None:
    return None if version is None else asdict(version) | {"manifest": version.manifest.to_json()}


def _version(fields: Fields) -> Installed:
    try:
        manifest = from_json(fields.values.get("manifest"))
    except ManifestError as error:
        raise StateError(f"{fields.what}: {error}") from error
    return Installed(manifest, _measured(fields), fields.maybe("drift_ppm", fields.whole))


def _measured(fields: Fields) -> Errors:
    inner = _inside(fields, "measured")
    return Errors(inner.count("errors"), inner.count("total"))


def _verdicts(fields: Fields, name: str) -> tuple[Unfit, ...]:
    inner = [fields_of(item, f"{fields.what}: {name}", StateError) for item in fields.items(name, UNFIT_LIMIT)]
    return tuple(Unfit(item.digest("digest"), item.digest("basis"), item.text("reason")) for item in inner)


def _failure(fields: Fields) -> Failure:
    return Failure(
        fields.text("stage"), fields.text("reason"), fields.maybe("digest", fields.digest), fields.text("at")
    )
