"""What came of one poll of a simulated device, and how an update is made to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffclient.errors import DiffClientError, NoSpace, ProbationFailed, ServerRefused, ServerUnreachable
from diffclient.network.report import Cause, Stage

_WHY = "as the simulation has it"
FAULTS: dict[Cause, tuple[Stage, Callable[[], DiffClientError]]] = {
    "network": ("download", lambda: ServerUnreachable(f"the network is gone, {_WHY}")),
    "server": ("download", lambda: ServerRefused(404, "no such blob", _WHY, "")),
    "device": ("apply", lambda: NoSpace(Path("/simulated/store"), 1, 0)),
    "version": ("probation", lambda: ProbationFailed(f"it does not measure as signed, {_WHY}")),
}
"""Where an update fails by each cause, and what makes the error."""


@dataclass(frozen=True)
class Polled:
    """The end of a poll: an outcome's action; `failed` or `postponed`; `silent` without an answer; `offline`."""

    end: str
    cause: Cause | None = None
    fetched: int = 0
    """Bytes of payloads, graph and probe set; 0 for a device that fetches none."""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.end} ({self.cause})" if self.cause else self.end
