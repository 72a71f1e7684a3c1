"""Every error of the service, split by cause; turning them into HTTP answers is left to the API.

DiffServerError
├── SettingsError           an environment variable with an invalid value
├── NotMigrated             a database without this release's tables
│   └── DatabaseTooNew      a database of a later release
├── Unauthenticated         no token, or one that is not valid
├── Forbidden               a valid token of another role
├── NotFound                a name or number of nothing that exists
│   └── BlobLost            bytes that are promised, and that the stores no longer hold
├── UnknownParameter        a query parameter that an endpoint does not have
├── Invalid                 a request that contradicts itself
│   └── CheckpointError     a checkpoint that is damaged, or that does not fit the model
├── Conflict                a request that the present state does not allow
│   ├── HeadMoved           a candidate whose parent is no longer the model's latest version
│   ├── Refused             a candidate outside its budget or bounds
│   ├── NoPath              no diffs and no snapshot that lead to a version
│   ├── JobLost             a training that was cancelled or that another worker took over
│   ├── MetadataMoved       signatures on metadata that has been replaced meanwhile
│   ├── SignatureNeeded     a change that only the holder of the model's key can sign
│   └── BadSignature        metadata without the signatures that it needs
├── KeyMissing              a key that is not here, or can't be opened
├── Busy                    more requests than the server takes on at once
│   └── TooMany             more than one caller may have in some time
├── Unavailable             a dependency of the service that can't be reached
│   └── ClockBehind         a clock that shows a time in the past
└── BlobCorrupt             stored bytes that do not match their SHA-256
"""

from collections.abc import Mapping, Sequence
from typing import Any


class DiffServerError(Exception):
    """Root of all errors of the service: `detail` names the cause, `remedy` the way out."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(f"{detail}; {remedy}" if remedy else detail)
        self.detail, self.remedy = detail, remedy

    def members(self) -> Mapping[str, Any]:
        """Return further facts for programs, as plain JSON values."""
        return {}


class SettingsError(DiffServerError):
    """An environment variable with an invalid value."""


class NotMigrated(DiffServerError):
    """A database that lacks the tables of this release."""


class DatabaseTooNew(NotMigrated):
    """A database that a later release has migrated."""


class Unauthenticated(DiffServerError):
    """No token, or one that is unknown or revoked; the message does not say which."""


class Forbidden(DiffServerError):
    """A valid token whose role does not allow this."""


class NotFound(DiffServerError):
    """A name or number of nothing that exists."""


class BlobLost(NotFound):
    """Bytes that rows promise, and that the stores no longer hold, or hold damaged."""


class UnknownParameter(DiffServerError):
    """A query parameter that an endpoint does not have; `known` are those that it has."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"there is no query parameter {name[:40]!r} here",
            f"leave it out; those that there are: {', '.join(known) or 'none'}",
        )
        self.known = list(known)

    def members(self) -> Mapping[str, Any]:
        """Return the parameters that there are."""
        return {"known": self.known}


class Invalid(DiffServerError):
    """A request that is well formed and contradicts itself."""


class CheckpointError(Invalid):
    """A checkpoint that is damaged or of another format, or whose tensors do not fit the model."""


class Conflict(DiffServerError):
    """A request that the present state does not allow."""


class HeadMoved(Conflict):
    """A candidate whose parent is no longer the model's latest version."""


class Refused(Conflict):
    """A candidate outside its budget or bounds: `refusals` says why, `evaluation` and `metric` show it by domain."""

    def __init__(
        self, detail: str, refusals: Sequence[str], evaluation: Mapping[str, Any], metric: Mapping[str, str]
    ) -> None:
        super().__init__(detail, "train again, or publish with force; that is recorded")
        self.refusals, self.evaluation, self.metric = list(refusals), dict(evaluation), dict(metric)

    def members(self) -> Mapping[str, Any]:
        """Return the refusals, the evaluation and its metric."""
        return {"refusals": self.refusals, "evaluation": self.evaluation, "metric": self.metric}


class NoPath(Conflict):
    """No diffs and no snapshot that lead to `target`; a step to any of `reachable_from` would."""

    def __init__(self, detail: str, target: str, reachable_from: Sequence[str]) -> None:
        super().__init__(detail, "store the snapshot of one of these versions again, or move the channel")
        self.target, self.reachable_from = target, list(reachable_from)

    def members(self) -> Mapping[str, Any]:
        """Return the target and the versions from which it can be reached."""
        return {"target": self.target, "reachable_from": self.reachable_from}


class JobLost(Conflict):
    """A training that was cancelled, or that another worker took over; its result must be dropped."""


class MetadataMoved(Conflict):
    """Signatures on metadata that has been replaced meanwhile."""


class SignatureNeeded(Conflict):
    """A change that the server can't sign; `challenge` holds the change and the keys that must sign."""

    def __init__(self, detail: str, challenge: Mapping[str, Any]) -> None:
        super().__init__(detail, "use the diffserver command where the model's key is (DIFFSERVER_KEYS)")
        self.challenge = dict(challenge)

    def members(self) -> Mapping[str, Any]:
        """Return the challenge."""
        return {"challenge": self.challenge}


class BadSignature(Conflict):
    """Metadata without the signatures that it needs."""


class KeyMissing(DiffServerError):
    """A key that is not here or can't be opened."""


class Busy(DiffServerError):
    """More requests than the server takes on at once; retry after `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail, f"come back after {retry_after} seconds")
        self.retry_after = retry_after


class TooMany(Busy):
    """More than one caller may have in some time; come back after `retry_after` seconds."""


class Unavailable(DiffServerError):
    """A dependency of the service that can't be reached."""


class Undelivered(Unavailable):
    """An event that the webhook did not take."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "check DIFFSERVER_WEBHOOK_URL and the receiver's log; it is tried again by itself")


class ClockBehind(Unavailable):
    """A clock that shows a time before what is known to have happened."""


class BlobCorrupt(DiffServerError):
    """Stored bytes that do not match their SHA-256."""
