"""Rollouts move on by themselves while a server runs: one replica at a time looks at each that is under way.

What a look says is in `rollouts.look`; here it is asked again and again, and what follows from it is signed.
"""

from __future__ import annotations

from sqlalchemy import Engine, select

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
        rollout = records.locked(session, number)
        if rollout.state != "running":  # somebody stopped it meanwhile
            return None
        move = look(session, rollout)
        if move == "done":
            releases.settle(session, keyring, rollout.model)
    return move


def log_moves(engine: Engine, keyring: Keyring, holder: str, log: Log) -> None:
    """Look at every rollout that runs, and log those that went on or ended."""
    for number, move in move_on(engine, keyring, holder).items():
        if move != "stays":
            log.info("rollout", rollout=number, move=move)
