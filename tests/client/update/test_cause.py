"""What is at fault: every error that may end an update has one cause, and nothing passes for a version's fault."""

from __future__ import annotations

import pytest

from diffclient import errors
from diffclient.errors import DiffClientError, DigestMismatch, InternalError, TookTooLong
from diffclient.network.report import Cause, Stage
from diffclient.update.cause import cause_of

NETWORK = (errors.ServerUnreachable, errors.TooSlow, errors.Interrupted)
SERVER = (
    errors.ServerBusy, errors.ServerRefused, errors.WrongLength, errors.AnswerError, errors.AnswerTooLong,
    errors.BadSignature, errors.MetadataExpired, errors.ValidTooLong, errors.MetadataRolledBack,
    errors.MetadataMismatch, errors.MetadataMalformed, errors.MetadataTooLong, errors.UnknownTarget,
    errors.Backwards, errors.BrokenChain, errors.WrongModel,
)  # fmt: skip
VERSION = (
    errors.ProbationFailed, errors.RangeError, errors.WrongParent, errors.SnapshotError, errors.PayloadError,
    errors.PayloadTooNew, errors.ManifestError, errors.ProbeError, errors.InferenceError,
)  # fmt: skip
DEVICE = (
    errors.StoreFailed, errors.NoSpace, errors.StateError, errors.NoRoot, errors.NoCertificates,
    errors.SnapshotWithheld, errors.TooManyBytes, errors.NoSuchCode, errors.InternalError, errors.RecognizerError,
)  # fmt: skip
CAUSES: dict[tuple[type[DiffClientError], ...], Cause] = {
    NETWORK: "network",
    SERVER: "server",
    VERSION: "version",
    DEVICE: "device",
}
BY_STAGE = (DigestMismatch, TookTooLong)
ELSEWHERE = (
    errors.MergeError, errors.StoreBusy, errors.NotEnrolled, errors.AlreadyEnrolled, errors.NothingKept,
    errors.NoToken, errors.UpdateFailed, errors.Stopped,
)  # fmt: skip
"""Errors that end no update, or wrap what does."""


def made(kind: type[DiffClientError]) -> DiffClientError:
    """An error of a kind, whatever its constructor asks for."""
    return kind.__new__(kind)


def leaves(kind: type[DiffClientError]) -> list[type[DiffClientError]]:
    """All kinds of errors below one that are raised."""
    return [each for below in kind.__subclasses__() for each in (below, *leaves(below))]


@pytest.mark.parametrize(
    ("kind", "cause"), [(kind, cause) for kinds, cause in CAUSES.items() for kind in kinds], ids=lambda part: str(part)
)
def test_the_cause_of_each_error(kind: type[DiffClientError], cause: Cause) -> None:
    assert cause_of(made(kind), "download") == cause


@pytest.mark.parametrize(
    ("kind", "stage", "cause"),
    [
        (DigestMismatch, "download", "server"),
        (DigestMismatch, "digest", "version"),
        (DigestMismatch, "trust", "device"),
        (TookTooLong, "download", "network"),
        (TookTooLong, "apply", "device"),
        (TookTooLong, "probation", "device"),
    ],
)
def test_where_the_stage_decides(kind: type[DiffClientError], stage: Stage, cause: Cause) -> None:
    assert cause_of(made(kind), stage) == cause


def test_every_error_is_in_one_of_the_lists() -> None:
    groups = (errors.FormatError, errors.NetworkError, errors.TrustError, errors.StoreError, errors.UpdateError)
    known = [*BY_STAGE, *ELSEWHERE, *groups, *(kind for kinds in CAUSES for kind in kinds)]
    assert set(known) == {kind for kind in leaves(DiffClientError) if kind.__module__ == errors.__name__}
    assert len(known) == len(set(known))


def test_a_memory_that_is_full_speaks_of_no_version() -> None:
    error = errors.ProbationFailed("the model cannot be measured")
    error.__cause__ = MemoryError()
    assert cause_of(error, "probation") == cause_of(InternalError(MemoryError()), "decode") == "device"


def test_a_file_that_cannot_be_opened_speaks_of_no_version() -> None:
    error = errors.SnapshotError("cannot read snapshot: Permission denied")
    assert cause_of(error, "decode") == "version"
    error.__cause__ = PermissionError()
    assert cause_of(error, "decode") == "device"
