"""Exit codes, on which scripts and other update agents rely: what each means, and which one an end has."""

from __future__ import annotations

from diffclient.errors import (
    AlreadyEnrolled,
    DigestMismatch,
    NotEnrolled,
    NoToken,
    ServerUnreachable,
    SnapshotWithheld,
    Stopped,
    StoreBusy,
    TooManyBytes,
    UpdateFailed,
)
from diffclient.network.report import Cause
from diffclient.update.cause import cause_of
from diffclient.update.outcome import Action

MEANINGS = {
    0: "done: installed, or nothing to do",
    1: "another error",
    2: "wrong usage, or the store is not enrolled yet or enrolled already",
    3: "an update failed, by this device's fault: a full disk, a damaged file",
    4: "postponed: the server cannot be reached, is too slow, or busy",
    5: "another process is using the store",
    6: "something on the disk is damaged",
    7: "an update failed, by the version's fault: it does not decode, or measures otherwise than signed",
    8: "postponed, by the server's fault: it refuses, or offers what is not signed",
    9: "the owner's policy does not allow it on this link, or not yet (*)",
    10: "nothing new (*)",
    11: "held back: someone rolled back from it (*)",
    12: "unfit: it failed probation here, and nothing changed since (*)",
    130: "stopped by a signal",
}
"""What each code means; (*): of an update that ended without an error with --detailed-exit-code alone."""

_OF_ERRORS: tuple[tuple[type[BaseException], int], ...] = (
    (Stopped, 130),
    (KeyboardInterrupt, 130),
    (NotEnrolled, 2),
    (AlreadyEnrolled, 2),
    (NoToken, 2),
    (ServerUnreachable, 4),
    (StoreBusy, 5),
    (DigestMismatch, 6),
)
_OF_FAILURES: tuple[tuple[type[BaseException], int], ...] = (
    (ServerUnreachable, 4),
    (SnapshotWithheld, 9),
    (TooManyBytes, 9),
)
_OF_CAUSES: dict[Cause, int] = {"device": 3, "network": 4, "version": 7, "server": 8}
_OF_ACTIONS: dict[Action, int] = {
    "installed": 0,
    "withheld": 9,
    "delivered": 9,
    "none": 10,
    "held_back": 11,
    "unfit": 12,
}


def of_error(error: BaseException) -> int:
    """Return an error's exit code; of an update that failed, by what is at fault."""
    if isinstance(error, UpdateFailed):
        by_kind = (code for kind, code in _OF_FAILURES if isinstance(error.cause, kind))
        return next(by_kind, _OF_CAUSES[cause_of(error.cause, error.stage)])
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), 1)


def of_action(action: Action, detailed: bool) -> int:
    """Return the exit code of an update that ended without an error; 0 unless it shall tell details."""
    return _OF_ACTIONS[action] if detailed else 0


def lines() -> str:
    """Return all codes and their meanings, a line each, for the help."""
    return "\n".join(f"  {code:<3}  {meaning}" for code, meaning in MEANINGS.items())
