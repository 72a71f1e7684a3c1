"""A steady load of polls over connections that are kept, as devices behind a gateway would make it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

THREADS, PAUSE_SECONDS = 4, 0.05
"""At most 80 polls a second."""


@contextmanager
def polling(url: str, token: str) -> Iterator[Counter[str]]:
    """Poll until the block ends; what became of the polls is counted by status or by error."""
    counts: Counter[str] = Counter()
    ends, lock = threading.Event(), threading.Lock()

    def poll() -> None:
        with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as device:
            while not ends.wait(PAUSE_SECONDS):
                became = _became(device)
                with lock:
                    counts[became] += 1

    threads = [threading.Thread(target=poll) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield counts
        time.sleep(1)
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def _became(device: httpx2.Client) -> str:
    try:
        return str(device.post("/v1/device/poll", json={"digest": None, "client": "load"}).status_code)
    except httpx2.TransportError as error:
        return type(error).__name__
