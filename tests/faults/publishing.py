"""A server process that publishes or goes back a version, and fails at one statement of the transaction.

Run in processes of their own (`multiprocessing`, from a fork server that has no database open).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from diffserver.storage.database import connect, writing
from diffserver.trust import releases
from diffserver.trust.keys import Keyring

Way = Literal["counted", "killed", "refused", "killed after it"]
Act = Literal["publish", "go back", "retire", "renew"]
REFUSED = 3
"""Exit code of a process whose database refused a statement."""


@dataclass(frozen=True)
class Task:
    """The release to make in a database, and how statement number `at` fails; the commit is the last statement."""

    url: str
    keys: Path
    act: Act
    subject: Any
    way: Way
    at: int
    counts: Path
    """The file for the number of statements when they are only counted."""


class _Counted(Exception):
    """Raised after all statements were counted, to roll back."""


def run(task: Task) -> None:
    """Run the task, then end this process."""
    engine = connect(task.url)
    statements = [0]

    def before(*_arguments: Any) -> None:
        number, statements[0] = statements[0], statements[0] + 1
        if number != task.at or task.way in ("counted", "killed after it"):
            return
        if task.way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OperationalError("a statement", None, OSError("disk I/O error"))

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "commit", before)
    try:
        with writing(engine) as session:
            _ACTS[task.act](session, Keyring(task.keys), task.subject)
            if task.way == "counted":
                raise _Counted
    except _Counted:
        task.counts.write_text(str(statements[0] + 1))
    except OperationalError:
        os._exit(REFUSED)
    if task.way == "killed after it":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


_ACTS: dict[Act, Callable[[Session, Keyring, Any], object]] = {
    "publish": lambda session, keyring, candidate: releases.publish(session, keyring, candidate, by="test"),
    "go back": lambda session, keyring, number: releases.move_channel(session, keyring, "speech", number),
    "retire": lambda session, keyring, before: releases.retire(session, keyring, "speech", before),
    "renew": lambda session, keyring, _: releases.renew(session, keyring, "speech"),
}


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Return every row of every table, as text, but for what the server writes once after it starts, at some moment."""
    from diffserver.storage.tables import METADATA

    tables = {name: table for name, table in METADATA.tables.items() if name not in ("leases", "tallies")}
    with engine.connect() as connection:
        return {name: sorted(map(repr, connection.execute(table.select()))) for name, table in tables.items()}
