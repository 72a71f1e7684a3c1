"""Leases: give one process at a time a named task until a time on the database's clock.

A process that dies loses its lease when it expires. Claiming is one short transaction, so the task itself must stay
safe if two processes run it.
"""

from datetime import timedelta

from sqlalchemy import Engine, delete

from diffserver.storage.database import now, writing
from diffserver.storage.locks import exclusive
from diffserver.storage.tables import Lease

# An arbitrary number that no other lock uses.
LOCK = 0x6E64666C


def claim(engine: Engine, name: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease on `name` for some seconds; return False while another process holds it."""
    with writing(engine) as session:
        exclusive(session, LOCK)
        moment = now(session)
        lease = session.get(Lease, name)
        if lease is not None and lease.holder != holder and lease.until > moment:
            return False
        session.merge(Lease(name=name, holder=holder, until=moment + timedelta(seconds=seconds)))
    return True


def release(engine: Engine, name: str, holder: str) -> None:
    """Release the lease before it expires, if it is still this holder's."""
    with writing(engine) as session:
        session.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))
