"""Every error that leaves this package, split by cause.

DiffClientError
├── FormatError             bytes that do not follow their format
│   ├── SnapshotError       a snapshot file
│   ├── PayloadError        a payload
│   │   └── PayloadTooNew   a payload of a later format version
│   ├── ManifestError       a manifest
│   ├── ProbeError          a part of the probe set
│   ├── InferenceError      a graph that cannot run here or does not fit the weights
│   │   └── RecognizerError a graph that asks for other features; audio that cannot be read
│   ├── AnswerError         an answer of the server
│   │   └── AnswerTooLong   one over the length limit
│   └── StateError          the store's own files
├── RangeError              weights that leave their grid or are not finite
├── MergeError              diffs that do not add up to one
├── WrongParent             a diff made for other weights than these
├── DigestMismatch          the bytes are whole but not those that were promised
├── NetworkError            the server, or the connection to it
│   ├── ServerUnreachable   no connection, no valid certificate or no sign of life
│   │   ├── ServerBusy      it asks the client to come back later
│   │   ├── TooSlow         it does not keep pace
│   │   └── Interrupted     a body broke off
│   ├── NoCertificates      a file of certificates that cannot be used
│   ├── ServerRefused       it answered with a problem
│   └── WrongLength         it offers more or fewer bytes than were promised
├── TrustError              what the server offers is not what signed metadata says
│   ├── NoRoot              no root of trust is known, or it is not the one expected
│   ├── BadSignature        fewer valid signatures than the role needs
│   ├── MetadataExpired     metadata past its date, or a clock that is wrong
│   ├── ValidTooLong        metadata that would hold for longer than any honest one: a clock is wrong
│   ├── MetadataRolledBack  metadata older than what was seen before
│   ├── MetadataMismatch    metadata that contradict each other
│   ├── MetadataMalformed   bytes that are not metadata
│   ├── MetadataTooLong     metadata over its length limit
│   ├── UnknownTarget       a target that no metadata names
│   └── Backwards           a downgrade that no one signed
├── StoreError              the folder that holds the slots
│   ├── StoreBusy           another process is using it
│   ├── StoreFailed         the disk refused an operation
│   ├── NoSpace             the disk is full
│   ├── NotEnrolled         no server is known
│   ├── AlreadyEnrolled     a server is known already
│   └── NothingKept         no version to verify or to return to
├── NoToken                 no enrolment token was given
├── NoSuchCode              code that was named and cannot be found or imported
├── UpdateError             an update that must not be installed
│   ├── BrokenChain         steps that do not lead from this device's version to the target
│   ├── WrongModel          a step that belongs to another model
│   ├── SnapshotWithheld    a snapshot that the policy does not allow on this link
│   ├── TooManyBytes        more bytes than the device may spend on an update
│   ├── ProbationFailed     the new version does not measure as its manifest says
│   ├── TookTooLong         an update that did not end in the time it was given
│   └── UpdateFailed        names the stage at which an update failed, and wraps the cause
├── InternalError           a fault of this client's own
└── Stopped                 a signal or the application asked to stop; nothing is wrong
"""

from __future__ import annotations

from pathlib import Path


class DiffClientError(Exception):
    """Root of all errors raised here; the message names the cause and the remedy."""


class FormatError(DiffClientError):
    """Bytes that do not follow their format."""


class SnapshotError(FormatError):
    """A file that is not a snapshot."""


class PayloadError(FormatError):
    """Bytes that are not a payload for this tensor table."""


class PayloadTooNew(PayloadError):
    """A payload of a format version that this client does not know."""


class ManifestError(FormatError):
    """A manifest with a missing, unknown or ill-typed field."""


class RangeError(DiffClientError):
    """Weights that do not fit their grid, or are not finite."""


class MergeError(DiffClientError):
    """Diffs that are no plain sums on one grid, and so cannot be merged."""


class WrongParent(DiffClientError):
    """A diff whose parent is another version."""


class DigestMismatch(DiffClientError):
    """Bytes whose digest is not the one that was promised."""


class InferenceError(FormatError):
    """A graph that cannot run here, or does not fit the weights or the inputs."""


class RecognizerError(InferenceError):
    """A graph that is no recogniser's or asks for other features than these; or audio that cannot be read."""


class ProbeError(FormatError):
    """A file that is not a part of a probe set."""


class AnswerError(FormatError):
    """An answer that is not what the protocol allows."""


class AnswerTooLong(AnswerError):
    """An answer over the length limit; the rest was not read."""


class StateError(FormatError):
    """A file of the store whose content is not what this client writes."""


class NetworkError(DiffClientError):
    """The server, or the connection to it, fails a request."""


class ServerUnreachable(NetworkError):
    """No connection, no valid certificate, or no sign of life within the time allowed."""


class ServerBusy(ServerUnreachable):
    """The server is overloaded; retry after `retry_after` seconds (None: it does not say)."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooSlow(ServerUnreachable):
    """A server that sends less than the least speed, or not all in time; what arrived of a blob is kept."""


class Interrupted(ServerUnreachable):
    """A body ended before its declared length; what arrived is kept."""


class ServerRefused(NetworkError):
    """The server answered with a problem (RFC 9457): `status`, `title`, `detail`, `remedy`."""

    def __init__(self, status: int, title: str, detail: str, remedy: str) -> None:
        super().__init__(": ".join(part for part in (f"{status} {title}", detail, remedy) if part))
        self.status, self.title, self.detail, self.remedy = status, title, detail, remedy


class WrongLength(NetworkError):
    """The server offers more or fewer bytes than the manifest promised."""


class NoCertificates(NetworkError):
    """A file of certificates that cannot be read, or holds none."""


class TrustError(DiffClientError):
    """The server's data contradicts signed metadata; none of it was used."""


class NoRoot(TrustError):
    """No root of trust is known here, or it is not the one expected."""


class BadSignature(TrustError):
    """Metadata with fewer valid signatures than its role needs."""


class MetadataExpired(TrustError):
    """Metadata past its date, by the latest time that this device knows."""


class ValidTooLong(TrustError):
    """Metadata that would hold for longer than any honest one: the server's clock is wrong, or this device's."""


class MetadataRolledBack(TrustError):
    """Metadata older than what was seen before."""


class MetadataMismatch(TrustError):
    """Metadata files that contradict each other."""


class MetadataMalformed(TrustError):
    """Bytes that are not metadata."""


class MetadataTooLong(TrustError):
    """Metadata over its length limit; the rest was not read."""


class UnknownTarget(TrustError):
    """A target that no verified metadata names."""


class Backwards(TrustError):
    """A downgrade to a version that is neither in the kept slot nor permitted by signed metadata."""


class StoreError(DiffClientError):
    """The folder that holds the slots cannot do what was asked."""


class StoreBusy(StoreError):
    """Another process is using the store."""


class StoreFailed(StoreError):
    """The disk refused an operation."""


class NoSpace(StoreError):
    """The disk is full: `needed` and `free` bytes (`needed` is what the operation asked for)."""

    def __init__(self, folder: Path, needed: int, free: int) -> None:
        super().__init__(f"no space in {folder}: {needed:,} bytes needed, {free:,} free; make room, then update again")
        self.folder, self.needed, self.free = folder, needed, free


class NotEnrolled(StoreError):
    """The store does not know a server yet."""


class AlreadyEnrolled(StoreError):
    """The store knows a server already, which an enrolment would replace."""


class NothingKept(StoreError):
    """There is no version to verify or to return to."""


class NoToken(DiffClientError):
    """An enrolment without a token."""


class NoSuchCode(DiffClientError):
    """Code that was named but cannot be imported; the message has the cause and its line."""


class UpdateError(DiffClientError):
    """An update that must not be installed."""


class BrokenChain(UpdateError):
    """Steps that do not lead from this device's version to the target; the server's operator can mend it."""


class WrongModel(UpdateError):
    """A step that belongs to another model than the one enrolled for."""


class SnapshotWithheld(UpdateError):
    """A snapshot that the device's policy does not allow on this link."""


class TooManyBytes(UpdateError):
    """An update that needs more bytes than the device may spend on one."""


class ProbationFailed(UpdateError):
    """The new version does not measure as its manifest says."""


class TookTooLong(UpdateError):
    """An update that did not end in the time that the policy gives it."""


class UpdateFailed(UpdateError):
    """An update failed at `stage` because of `cause`; the version that ran before still does.

    `more` says what led to that stage, where it was not the usual.
    """

    def __init__(self, stage: str, cause: DiffClientError, more: str = "") -> None:
        super().__init__(f"update failed at stage {stage}: {cause}{more} (the version in use is unchanged)")
        self.stage, self.cause = stage, cause


class InternalError(DiffClientError):
    """A fault of this client's own, wrapped so that it ends an update and not the client; the cause has the details."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"internal error: {cause!r}; set DIFFCLIENT_DEBUG=1 and report it")
        self.__cause__ = cause


class Stopped(DiffClientError):
    """A signal or the application asked to stop; nothing is wrong."""
