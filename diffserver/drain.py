"""The end of a server that others shall notice before it comes: for some seconds it still answers, and says so.

While it drains, /readyz refuses and each answer ends its connection: whoever has several servers goes to another one,
and no request is on its way when the last connection closes.
"""

import time


class Drain:
    """Whether a server is about to end, and for how many seconds it goes on answering."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds, self._until = seconds, 0.0

    def begin(self) -> bool:
        """Begin, once; tell whether it takes any time."""
        if self.begun or not self._seconds:
            return False
        self._until = time.monotonic() + self._seconds
        return True

    @property
    def begun(self) -> bool:
        """Whether it has begun."""
        return self._until > 0

    @property
    def over(self) -> bool:
        """Whether it has begun, and its time is up."""
        return self.begun and time.monotonic() >= self._until
