"""A training's progress, and the way to stop it. Needs no torch."""

from collections.abc import Callable

OnProgress = Callable[[float, str], bool]
"""Hears how far training is (0 to 1) and how it goes; answers whether to go on."""


class Cancelled(Exception):
    """Whoever follows the training's progress asked it to stop."""
