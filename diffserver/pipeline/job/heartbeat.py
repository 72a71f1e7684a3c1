"""Heartbeats: threads that record in the database a worker's presence and its training's progress.

They survive errors of the database: a beat that fails is logged, and the next one may succeed before the lease ends.
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
"""The wait for a thread that ends: a beat that comes later changes nothing."""

log = make_log()


@dataclass
class Pulse:
    """A training's latest progress, and whether it should go on."""

    progress: float = 0.0
    message: str = ""
    continues: bool = True

    def note(self, progress: float, message: str) -> bool:
        """Keep the progress for the next beat; return False once the training is to end."""
        self.progress, self.message = progress, message
        return self.continues


@contextmanager
def heartbeats(
    engine: Engine, worker: str, training_id: int, lease_s: float, interrupt: Callable[[], None]
) -> Iterator[Pulse]:
    """Renew the lease and record progress until the block ends.

    Once the training is to end, it has the time of a beat to notice; then `interrupt` is called, at every beat.
    """
    pulse = Pulse()

    def beat() -> None:
        alive = training_queue.heartbeat(engine, training_id, worker, pulse.progress, pulse.message)
        if not pulse.continues:
            interrupt()
        pulse.continues = pulse.continues and alive

    with repeating("heartbeat", beat, min(HEARTBEAT_SECONDS, lease_s / BEATS_A_LEASE)):
        yield pulse


@contextmanager
def presence(engine: Engine, worker: str, lease_s: float) -> Iterator[None]:
    """Record the worker's presence until the block ends."""

    def report() -> None:
        workers.seen(engine, worker, lease_s)

    try:
        with repeating("presence", report, lease_s * PRESENCE_SHARE):
            yield
    finally:
        _leave(engine, worker)


def _leave(engine: Engine, worker: str) -> None:
    try:
        workers.leave(engine, worker)
    except SQLAlchemyError as error:  # without beats it counts as gone soon all the same
        log.warning("the worker could not say that it leaves", error=str(error))


@contextmanager
def repeating(name: str, action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Repeat an action in a thread until the block ends, whatever the database answers."""
    stopped = threading.Event()

    def run() -> None:
        while True:
            try:
                action()
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
