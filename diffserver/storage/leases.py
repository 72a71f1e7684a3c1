"""Leases: what one process at a time does for all, for as long as the database's clock says.

A process that dies loses its lease when that runs out. Claiming is one short transaction; what is done under the
lease still has to be safe if two should do it.
"""

from datetime import timedelta

from sqlalchemy import Engine, delete

from diffserver.storage.database import exclusive, now, writing
from diffserver.storage.tables import Lease

# Any number that no one else locks on.
LOCK = 0x6E64666C


def claim(engine: Engine, name: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease on `name`; False while another holds it."""
    with writing(engine) as session:
        exclusive(session, LOCK)
        moment = now(session)
        lease = session.get(Lease, name)
        if lease is not None and lease.holder != holder and lease.until > moment:
            return False
        session.merge(Lease(name=name, holder=holder, until=moment + timedelta(seconds=seconds)))
    return True


def release(engine: Engine, name: str, holder: str) -> None:
    """Give the lease back before it ends, if it is still this holder's."""
    with writing(engine) as session:
        session.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))
