"""The home of a server on this machine: the option that names it, its settings and its database, and who is at it."""

import getpass
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffserver.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from diffserver.catalog.audit import Actor

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the database and the objects. [env: DIFFSERVER_HOME]", show_default=False),
]


def read_settings(home: Path | None, task_files: Sequence[str] | None = None) -> Settings:
    """Return the settings of the environment, with what is given in place of it; raises SettingsError."""
    return Settings.of_process(home=str(home or ""), task_files=",".join(task_files or ()))


def open_home(home: Path | None) -> tuple[Settings, "Engine"]:
    """Return the settings and their database, which must be of this release; raises NotMigrated."""
    # Imported late, as wherever a command needs the database or keys: most ask a server over HTTP.
    from diffserver.storage import migrate
    from diffserver.storage.database import connect

    settings = read_settings(home)
    engine = connect(settings.database)
    migrate.check(engine)
    return settings, engine


def host_user() -> "Actor":
    """Return whoever types commands here, for the audit log: commands of this machine ask for no token."""
    from diffserver.catalog.audit import HOST, Actor

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = str(os.getuid())
    return Actor(f"{user}@{socket.gethostname()}", HOST)
