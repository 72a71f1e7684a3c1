"""The limits of connections: how many there may be, and how long a peer may keep one waiting. Pure."""

from dataclasses import dataclass

from diffserver.settings import Settings

OWN_FILES = 136
"""Files that are open whatever is asked for: 40 connections of SQLite to three files each, the log, the listener."""
FEWEST = 8


@dataclass(frozen=True)
class Limits:
    """The bounds of one process: connections at once, seconds, and bytes a second."""

    connections: int
    header_seconds: float
    body_seconds: float
    least_speed: int

    @property
    def least_bytes(self) -> float:
        """What a body or an answer has to move by in `body_seconds`, unless it ends."""
        return self.least_speed * self.body_seconds


def limits_of(settings: Settings, files: int) -> Limits:
    """The limits of a process that may open so many files: an answer may need a second one beside its connection."""
    most = max(FEWEST, (files - OWN_FILES) // 2)
    connections = min(settings.max_connections, most)
    return Limits(connections, settings.header_seconds, settings.body_seconds, settings.least_speed)
