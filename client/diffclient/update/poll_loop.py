"""The agent: updates for ever, with jitter between polls and backoff after failures, until asked to stop."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from diffclient.errors import DiffClientError, InternalError, ServerBusy, Stopped, UpdateFailed
from diffclient.update.outcome import Outcome

FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
"""Seconds between attempts after one failure in a row, and after many."""

USUAL_POLL = 300
"""Seconds between polls where no answer has said it yet."""

START_WITHIN = 60.0
"""Seconds within which the first update begins, where no one says otherwise: a part of the usual interval."""

POLLS_SKIPPED = 4
"""A server that sheds load may silence a device for so many polls, or LONGEST_WAIT: an operator has to reach it."""


def run(
    update: Callable[[], Outcome],
    pause: Callable[[float], None],
    tell: Callable[[Outcome | DiffClientError, float], None],
    start_within: float = START_WITHIN,
) -> None:
    """Update for ever; `tell` hears each outcome or error and the seconds until the next attempt.

    The first update begins at some moment within `start_within` seconds, so that devices that were started together do
    not poll together. Ends only by Stopped, which `update` or `pause` raises: a fault of our own, or a log that cannot
    be written, is no reason to leave a device without updates.
    """
    failures, usual = 0, USUAL_POLL
    pause(random.uniform(0, start_within))
    while True:
        try:
            result: Outcome | DiffClientError = update()
        except Stopped:
            raise
        except Exception as error:
            result = error if isinstance(error, DiffClientError) else InternalError(error)
        failures = failures + 1 if isinstance(result, DiffClientError) else 0
        usual = result.poll_seconds if isinstance(result, Outcome) else usual
        seconds = wait(result, failures, usual)
        with contextlib.suppress(OSError):
            tell(result, seconds)
        pause(seconds)


def wait(result: Outcome | DiffClientError, failures: int, usual: int = USUAL_POLL) -> float:
    """Return the seconds until the next attempt: as the server asks, spread so that devices do not meet.

    `usual` is how many seconds the server last wanted between polls.
    """
    if isinstance(result, Outcome):
        return result.poll_seconds * random.uniform(0.8, 1.2)
    backoff = min(FIRST_WAIT * 2.0 ** min(failures - 1, 30), LONGEST_WAIT) * random.uniform(0.5, 1.0)
    cause = result.cause if isinstance(result, UpdateFailed) else result
    asked = cause.retry_after if isinstance(cause, ServerBusy) else None
    longest = max(POLLS_SKIPPED * usual, LONGEST_WAIT)
    # Never sooner than asked, and not all at the same moment.
    return max(backoff, min(asked or 0.0, longest) * random.uniform(1.0, 1.2))
