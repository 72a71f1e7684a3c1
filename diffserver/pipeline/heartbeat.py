"""Heartbeats: threads by which a worker tells the database that it is there, and how far its training is.

They outlive what the database does: a beat that fails is logged, and the next one may succeed before the lease ends.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffserver.catalog import training_queue, workers
from diffserver.logs import make_log

HEARTBEAT_SECONDS = 1.0
BEATS_A_LEASE = 4
PRESENCE_SHARE = 1 / 6
JOIN_SECONDS = 1.0
"""How long a thread that ends is waited for: a beat that comes too late changes nothing."""

log = make_log()


@dataclass
class Pulse:
    """A training's last word on its progress, and whether it should go on."""

    progress: float = 0.0
    message: str = ""
    wanted: bool = True

    def note(self, progress: float, message: str) -> bool:
        """Take note of progress; returns False once the training is to end."""
        self.progress, self.message = progress, message
        return self.wanted


@contextmanager
def heartbeats(engine: Engine, worker: str, training_id: int, lease_s: float) -> Iterator[Pulse]:
    """Renew the lease and pass progress on, until the block ends."""
    pulse = Pulse()

    def beat() -> None:
        alive = training_queue.heartbeat(engine, training_id, worker, pulse.progress, pulse.message)
        pulse.wanted = pulse.wanted and alive

    with _repeated("heartbeat", beat, min(HEARTBEAT_SECONDS, lease_s / BEATS_A_LEASE)):
        yield pulse


@contextmanager
def presence(engine: Engine, worker: str, lease_s: float) -> Iterator[None]:
    """Say that the worker is there, until the block ends."""

    def tell() -> None:
        workers.seen(engine, worker, lease_s)

    try:
        with _repeated("presence", tell, lease_s * PRESENCE_SHARE):
            yield
    finally:
        _leave(engine, worker)


def _leave(engine: Engine, worker: str) -> None:
    try:
        workers.leave(engine, worker)
    except SQLAlchemyError as error:  # it will not be seen again, and so be gone all the same
        log.warning("the worker could not say that it leaves", error=str(error))


@contextmanager
def _repeated(name: str, act: Callable[[], None], seconds: float) -> Iterator[None]:
    stopped = threading.Event()

    def run() -> None:
        while True:
            try:
                act()
            except SQLAlchemyError as error:
                log.warning(f"{name} failed", error=str(error))
            if stopped.wait(seconds):
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(JOIN_SECONDS)
