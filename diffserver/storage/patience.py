"""Patience: a database that is away, locked or full for a while is waited for, not failed at.

For whoever has time and something to lose, as a worker has; requests are answered at once instead.
"""

import time
from collections.abc import Callable
from functools import wraps
from itertools import chain, repeat
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from diffserver.logs import make_log

P = ParamSpec("P")
T = TypeVar("T")

PASSING = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What a database answers that is away, starts, is locked, only reads for now, or has no room."""

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before the next try; the last one for ever."""

log = make_log()


def patient(act: Callable[P, T]) -> Callable[P, T]:
    """Return the act done again from its start, however often it takes, while the database's errors may pass.

    The act must be safe to do again: reading, or writing in one transaction that finds out what is done already.
    """

    @wraps(act)
    def until_done(*args: P.args, **kwargs: P.kwargs) -> T:
        pauses = chain(PAUSES, repeat(PAUSES[-1]))
        while True:
            try:
                return act(*args, **kwargs)
            except PASSING as error:
                pause = next(pauses)
                log.warning("waiting for the database", act=act.__name__, again_in=pause, error=str(error))
            time.sleep(pause)

    return until_done
