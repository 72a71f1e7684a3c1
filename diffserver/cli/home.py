"""The home of a server on this machine: the option that names it, its settings, its database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from diffserver.settings import Settings
from diffserver.storage import migrate as migrations
from diffserver.storage.database import connect

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the database and the objects. [env: DIFFSERVER_HOME]", show_default=False),
]


def settings(home: Path | None, task_files: Sequence[str] | None = None) -> Settings:
    """Return the settings of the environment, with what is given in place of it; raises SettingsError."""
    return Settings.of_process(home=str(home or ""), task_files=",".join(task_files or ()))


def opened(home: Path | None) -> tuple[Settings, Engine]:
    """Return the settings and their database, which must be of this release; raises NotMigrated."""
    chosen = settings(home)
    engine = connect(chosen.database)
    migrations.check(engine)
    return chosen, engine
