"""What is at fault where an update failed: the network, the server, this device, or the version.

Only a version's own faults, and a device's, are failures of an update; the rest passes, and the next poll goes on.
"""

from __future__ import annotations

from diffclient.errors import (
    AnswerError,
    DiffClientError,
    DigestMismatch,
    FormatError,
    NetworkError,
    NoCertificates,
    NoRoot,
    ProbationFailed,
    RangeError,
    RecognizerError,
    ServerBusy,
    ServerRefused,
    ServerUnreachable,
    SnapshotWithheld,
    StateError,
    TookTooLong,
    TooManyBytes,
    TrustError,
    UpdateError,
    WrongLength,
    WrongParent,
)
from diffclient.network.report import Cause

_CAUSES: tuple[tuple[type[DiffClientError], Cause], ...] = (
    (ServerBusy, "server"),
    (ServerUnreachable, "network"),
    (ServerRefused, "server"),
    (WrongLength, "server"),
    (NoCertificates, "device"),
    (NetworkError, "network"),
    (AnswerError, "server"),
    (StateError, "device"),
    (RecognizerError, "device"),  # this client cannot measure it: its owner has to say what does
    (FormatError, "version"),
    (RangeError, "version"),
    (WrongParent, "version"),
    (NoRoot, "device"),
    (TrustError, "server"),
    (ProbationFailed, "version"),
    (SnapshotWithheld, "device"),
    (TooManyBytes, "device"),
    (UpdateError, "server"),
)
"""By kind of error, the first that fits; of any other, this device is the cause."""

_BY_STAGE: dict[type[DiffClientError], dict[str, Cause]] = {
    # At other stages, what is stored here is damaged.
    DigestMismatch: {"download": "server", "digest": "version"},
    # At other stages, this device is too slow.
    TookTooLong: {"poll": "network", "trust": "network", "chain": "network", "download": "network"},
}


def cause_of(error: DiffClientError, stage: str) -> Cause:
    """Return what is at fault for an error that ended an update at this stage."""
    unreadable = isinstance(error, FormatError) and isinstance(error.__cause__, OSError)
    if unreadable or isinstance(error.__cause__, MemoryError):
        return "device"
    for kind, causes in _BY_STAGE.items():
        if isinstance(error, kind):
            return causes.get(stage, "device")
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "device")
