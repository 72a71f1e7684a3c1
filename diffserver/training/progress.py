"""A training's progress, and the way to stop it. Needs no torch."""

from collections.abc import Callable

OnProgress = Callable[[float, str], bool]
"""A callback with the progress (0 to 1) and a message; it returns whether to go on."""


class Cancelled(Exception):
    """The training was stopped by its progress callback."""
