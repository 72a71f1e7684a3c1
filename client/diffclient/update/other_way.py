"""The choice of steps to leave out when one way to a version fails, so that another can be taken.

Only damage is worth another way: with a full disk, or a server that cannot be reached, that would fail as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffclient.errors import (
    AnswerError,
    DiffClientError,
    DigestMismatch,
    FormatError,
    NetworkError,
    RangeError,
    ServerRefused,
    ServerUnreachable,
    WrongLength,
    WrongParent,
)
from diffclient.network.device_api import Service
from diffclient.network.holding import Holding
from diffclient.network.messages import Answer
from diffclient.store.store import Store
from diffclient.update.outcome import Attempt
from diffclient.update.route import Route

_DAMAGED_ON_THE_WAY = (DigestMismatch, WrongLength, ServerRefused, AnswerError)
_DAMAGED_AS_SIGNED = (FormatError, RangeError, WrongParent, DigestMismatch)


def suspects(store: Store, way: Route, attempt: Attempt, error: DiffClientError) -> tuple[str, ...]:
    """Return the names of the steps that an attempt failed by; none where another way would not help."""
    if attempt.stage == "download" and _is_damage(error, attempt):
        # Payloads come in the order of the steps, and graph and probe set, which every way needs, after them.
        return next(((leg.name,) for leg in way.legs if not store.has(leg.payload)), ())
    if attempt.stage in ("decode", "apply", "digest") and isinstance(error, _DAMAGED_AS_SIGNED):
        return tuple(leg.name for leg in way.legs)
    return ()


def ask(service: Service, way: Route, holding: Holding, left_out: Sequence[str], snapshot: bool) -> Answer | None:
    """Ask for a way to the same version that leaves these steps out; None where there is none.

    `snapshot` tells whether one is welcome. A server that cannot be asked, or knows nothing of this, has none.
    """
    try:
        answer = service.poll(holding, full_fallback=snapshot, without=left_out)
    except (NetworkError, AnswerError):
        return None
    goes_round = answer.steps and not set(answer.steps) & set(left_out)
    return answer if goes_round and answer.digest == way.target.to_digest else None


def _is_damage(error: DiffClientError, attempt: Attempt) -> bool:
    """Tell whether a blob is damaged wherever it can be had; a mirror that is out of reach has one update's respite."""
    before = attempt.state.failure
    if (
        isinstance(error, ServerUnreachable)
        and before
        and (before.stage, before.digest) == ("download", attempt.target)
    ):
        return isinstance(error.__cause__, _DAMAGED_ON_THE_WAY)
    return isinstance(error, _DAMAGED_ON_THE_WAY)
