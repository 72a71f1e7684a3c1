"""Rollouts move on by themselves while a server runs: one replica at a time looks at each that is under way.

What a look says is in `rollouts.look`; here it is asked again and again, and what follows from it is signed.
"""

from __future__ import annotations

import threading

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from diffserver.errors import DiffServerError
from diffserver.logs import Log
from diffserver.rollouts import records
from diffserver.rollouts.look import Move, look
from diffserver.storage import leases
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Rollout
from diffserver.trust import releases
from diffserver.trust.keys import Keyring

LEASE = "rollouts"
LEASE_SECONDS = 300.0


def move_on(engine: Engine, keyring: Keyring, holder: str) -> dict[int, Move]:
    """Look once at every rollout that runs, unless another replica does; return what became of each."""
    with reading(engine) as session:
        running = session.scalars(select(Rollout.id).where(Rollout.state == "running").order_by(Rollout.id)).all()
    if not running or not leases.claim(engine, LEASE, holder, LEASE_SECONDS):
        return {}
    return {number: move for number in running if (move := _look(engine, keyring, number)) is not None}


def _look(engine: Engine, keyring: Keyring, number: int) -> Move | None:
    with writing(engine) as session:
        rollout = records.find(session, number)
        if rollout.state != "running":  # somebody stopped it meanwhile
            return None
        move = look(session, rollout)
        if move == "done":
            releases.settle(session, keyring, rollout.model)
    return move


class RolloutWatch:
    """A thread that moves rollouts on while a server runs."""

    def __init__(self, engine: Engine, keyring: Keyring, holder: str, log: Log, seconds: float) -> None:
        self._engine, self._keyring, self._holder, self._log, self._seconds = engine, keyring, holder, log, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        """Start the thread, which looks at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after its current look."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                for number, move in move_on(self._engine, self._keyring, self._holder).items():
                    if move != "stays":
                        self._log.info("rollout", rollout=number, move=move)
            except (SQLAlchemyError, DiffServerError) as error:  # the database or a KMS may come back
                self._log.warning("rollouts were not looked at", error=str(error))
            if self._stopped.wait(self._seconds):
                return
