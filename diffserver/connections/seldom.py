"""A line in the log that outsiders can cause as often as they like: written once a minute at most."""

import logging
import time

EVERY_SECONDS = 60.0


class Seldom:
    """One such line; it says how often it would have been written since the last time."""

    def __init__(self, text: str) -> None:
        self._text, self._next, self._times = text, 0.0, 0

    def tell(self, *details: object) -> None:
        """Write the line, unless it was written within the last minute."""
        self._times += 1
        if time.monotonic() >= self._next:
            about = "".join(f" ({detail})" for detail in details)
            logging.getLogger("uvicorn.error").warning("%s%s; %d times", self._text, about, self._times)
            self._next, self._times = time.monotonic() + EVERY_SECONDS, 0
